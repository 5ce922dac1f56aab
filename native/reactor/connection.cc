#include "reactor/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "reactor/reactor.h"

namespace gammaloop {

Connection::Connection(SlabKey key, Reactor& reactor, std::unique_ptr<Transport> transport, const Endpoint& peer)
    : reactor_(reactor), transport_(std::move(transport)), lastActivityMs_(reactor.nowMs()), peer_(peer), key_(key) {}

void Connection::setHolding(bool holding) {
  if (holding_ == holding || state_ == ConnectionState::Closed) return;
  holding_ = holding;
  reactor_.countHolding(holding);
}

// Connecting.

void Connection::awaitConnect() {
  state_ = ConnectionState::Connecting;
  updateInterest();
}

void Connection::finishConnecting() {
  if (const int error = transport_->pendingError(); error != 0) return breakWith(error);
  if (const Result<Endpoint> peer = peerEndpoint(fd())) peer_ = peer.value();
  state_ = ConnectionState::Open;
  lastActivityMs_ = reactor_.nowMs();
  updateInterest();
  if (state_ == ConnectionState::Open) session_->onConnected();
}

// Reading.

void Connection::onReady(uint8_t readiness) {
  if (state_ == ConnectionState::Connecting) return finishConnecting();
  if (state_ == ConnectionState::Closed) return;
  if (readiness & Readiness::kWritable) {
    wantsWrite_ = false;
    updateInterest();
    flush();
  }
  if (state_ == ConnectionState::Closed) return;
  const bool readable = readiness & Readiness::kReadable;
  if (readable && (reading_ || state_ == ConnectionState::Lingering)) {
    readOnce();
  } else if (readiness & (Readiness::kError | Readiness::kHangup)) {
    onHangup(readiness);
  }
}

// While reading is paused, or after FIN, it would be reported without end: the peer is gone in both directions.
void Connection::onHangup(uint8_t readiness) {
  const int error = transport_->pendingError();
  // Both sides have sent FIN, and what the peer sent before is not read yet.
  if (error == 0 && outputEnded_ && !reading_ && state_ == ConnectionState::Open) return transport_->park();
  breakWith(error == 0 && (readiness & Readiness::kError) ? ECONNRESET : error);
}

void Connection::readOnce() {
  if (state_ == ConnectionState::PeerEnded || state_ == ConnectionState::Closed) return;
  filled_ = false;
  const size_t bulkBytes = state_ == ConnectionState::Open ? session_->beforeRead() : 0;
  if (bulkBytes == Session::kNoRead) return;
  const std::span<uint8_t> buffer = reactor_.readBuffer(bulkBytes);
  const size_t count = receiveInto(buffer);
  filled_ = bulkBytes != 0 && count == buffer.size();
  if (count != 0 && state_ == ConnectionState::Open) session_->onBytes(buffer.first(count));
}

size_t Connection::receive(std::span<uint8_t> into) {
  return reading_ && state_ == ConnectionState::Open ? receiveInto(into) : 0;
}

size_t Connection::receiveInto(std::span<uint8_t> buffer) {
  const IoOutcome outcome = transport_->receive(buffer);
  switch (outcome.kind) {
    case IoOutcome::Kind::Ok:
      reactor_.bytesReceived += outcome.bytes;
      receivedBytes_ += outcome.bytes;
      lastActivityMs_ = reactor_.nowMs();
      return outcome.bytes;
    case IoOutcome::Kind::WouldBlock:
      return 0;
    case IoOutcome::Kind::EndOfStream:
      onEndOfStream();
      return 0;
    case IoOutcome::Kind::Failed:
      breakWith(outcome.error.code);
      return 0;
  }
  return 0;
}

void Connection::onFed(std::span<const uint8_t> bytes) {
  if (state_ != ConnectionState::Open || bytes.empty()) return;
  lastActivityMs_ = reactor_.nowMs();
  session_->onBytes(bytes);
}

void Connection::onFedEnd() {
  if (state_ == ConnectionState::Open) onEndOfStream();
}

void Connection::onFedClosed(int error) {
  if (state_ == ConnectionState::Closed) return;
  transport_->onGone();
  error_ = error;
  close(error == 0 ? CloseReason::PeerClosed : CloseReason::PeerReset, TransportClose::AtOnce);
}

void Connection::onFedSent(uint32_t byteCount) {
  if (state_ == ConnectionState::Closed) return;
  transport_->acknowledge(byteCount);
  if (wantsWrite_) onReady(Readiness::kWritable);
}

void Connection::onEndOfStream() {
  if (state_ == ConnectionState::Lingering) return destroy(CloseReason::Local, false);
  state_ = ConnectionState::PeerEnded;
  updateInterest();
  session_->onEndOfStream();
}

void Connection::setReading(bool reading) {
  if (reading_ == reading || state_ == ConnectionState::Closed) return;
  reading_ = reading;
  updateInterest();
}

void Connection::updateInterest() {
  const bool read = (reading_ && state_ == ConnectionState::Open) || state_ == ConnectionState::Lingering;
  const auto wanted =
      static_cast<Interest>((read ? 1 : 0) | (wantsWrite_ || state_ == ConnectionState::Connecting ? 2 : 0));
  if (wanted == interest_ || state_ == ConnectionState::Closed) return;
  interest_ = wanted;
  if (const Result<void> watched = transport_->watch(wanted); !watched) {
    error_ = watched.error().code;
    destroy(CloseReason::Failed, false);
  }
}

// Writing.

uint8_t* Connection::reserve(size_t size) { return reactor_.arena().reserve(size); }

void Connection::commit(size_t size) {
  uint8_t* bytes = reactor_.arena().reserve(0);
  reactor_.arena().advance(size);
  writeStable({bytes, size});
}

void Connection::write(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return;
  std::memcpy(reserve(bytes.size()), bytes.data(), bytes.size());
  commit(bytes.size());
}

void Connection::writeStable(std::span<const uint8_t> bytes) {
  if (!bytes.empty() && mayWrite()) addSegment(bytes, nullptr);
}

void Connection::writeShared(SharedFrame& frame) {
  if (frame.bytes.size() < SharedFrame::kMinBytes) return writeStable(frame.bytes);
  if (mayWrite()) addSegment(frame.bytes, &frame);
}

void Connection::addSegment(std::span<const uint8_t> bytes, SharedFrame* shared) {
  segmentBytes_ += bytes.size();
  const bool isOwn = shared == nullptr && lastSegment_ != nullptr && lastSegment_->shared == nullptr;
  if (isOwn && lastSegment_->data + lastSegment_->size == bytes.data()) {
    lastSegment_->size += bytes.size();
    return;
  }
  Segment* segment =
      new (reactor_.segmentArena().reserve(sizeof(Segment))) Segment{bytes.data(), bytes.size(), nullptr, shared};
  reactor_.segmentArena().advance(sizeof(Segment));
  (firstSegment_ == nullptr ? firstSegment_ : lastSegment_->next) = segment;
  lastSegment_ = segment;
  if (!ListNode<DirtyTag>::isLinked()) reactor_.markDirty(*this);
}

size_t Connection::sendNow(std::span<const uint8_t> bytes) {
  if (!mayWrite() || queuedBytes() != 0) return 0;
  const IoSlice slice{bytes.data(), bytes.size()};
  const IoOutcome outcome = transport_->send({&slice, 1});
  if (outcome.kind == IoOutcome::Kind::WouldBlock) return 0;
  if (outcome.kind != IoOutcome::Kind::Ok) {
    breakWith(outcome.error.code);
    return 0;
  }
  reactor_.bytesSent += outcome.bytes;
  sentBytes_ += static_cast<uint32_t>(outcome.bytes);
  lastActivityMs_ = reactor_.nowMs();
  return outcome.bytes;
}

void Connection::flush() {
  if (state_ == ConnectionState::Closed) return;
  const bool hadQueue = queuedBytes() != 0;
  const uint32_t sentBefore = sentBytes_;
  while (queuedBytes() != 0) {
    IoSlice slices[kMaxIoSlices];
    auto [count, offered] = backlog_ == nullptr ? Backlog::Offer{0, 0} : backlog_->offer(slices);
    const size_t fromBacklog = offered;
    Segment* segment = firstSegment_;
    const size_t room = backlog_ != nullptr && offered < backlog_->size() ? 0 : kMaxIoSlices;
    for (; segment != nullptr && count < room; segment = segment->next) {
      slices[count++] = {segment->data, segment->size};
      offered += segment->size;
    }
    const IoOutcome outcome = transport_->send({slices, count});
    if (outcome.kind == IoOutcome::Kind::WouldBlock) {
      keepUnsent(0);
      break;
    }
    if (outcome.kind != IoOutcome::Kind::Ok) return breakWith(outcome.error.code);
    reactor_.bytesSent += outcome.bytes;
    sentBytes_ += static_cast<uint32_t>(outcome.bytes);
    lastActivityMs_ = reactor_.nowMs();
    if (outcome.bytes < offered) {
      keepUnsent(outcome.bytes);
      break;
    }
    // All that was offered has gone; segments from `segment` on did not fit in this call.
    consumeBacklog(fromBacklog);
    segmentBytes_ -= offered - fromBacklog;
    firstSegment_ = segment;
    if (segment == nullptr) lastSegment_ = nullptr;
  }
  if (queuedBytes() != 0) {
    wantsWrite_ = true;
    updateInterest();
    if (state_ == ConnectionState::Closed) return;
  }
  if (hadQueue && queuedBytes() <= kWriteLowWaterBytes) {
    session_->onDrained();
  } else if (sentBytes_ != sentBefore) {
    session_->onProgress();
  }
  if (queuedBytes() != 0 || state_ == ConnectionState::Closed) return;
  if (closeAfterFlush_) return finishClosing();
  if (endAfterFlush_ && !outputEnded_) finishOutput();
}

// The batch's memory goes away after this phase: what the kernel did not take moves into memory of our own.
void Connection::keepUnsent(size_t sent) {
  const size_t fromBacklog = backlog_ == nullptr ? 0 : std::min(sent, backlog_->size());
  consumeBacklog(fromBacklog);
  sent -= fromBacklog;
  for (Segment* segment = firstSegment_; segment != nullptr; segment = segment->next) {
    const size_t skip = std::min(sent, segment->size);
    sent -= skip;
    if (skip == segment->size) continue;
    if (backlog_ == nullptr) backlog_ = std::make_unique<Backlog>();
    if (segment->shared != nullptr) {
      backlog_->append(*segment->shared, skip);
    } else {
      backlog_->append({segment->data + skip, segment->size - skip});
    }
  }
  firstSegment_ = lastSegment_ = nullptr;
  segmentBytes_ = 0;
}

void Connection::consumeBacklog(size_t byteCount) {
  if (backlog_ == nullptr) return;
  backlog_->consume(byteCount);
  if (backlog_->size() == 0) backlog_.reset();
}

// Time.

void Connection::setDeadline(uint64_t deadlineMs) {
  if (state_ == ConnectionState::Lingering || state_ == ConnectionState::Closed) return;
  if (deadlineMs == 0) return reactor_.timers().cancel(*this);
  reactor_.timers().schedule(*this, deadlineMs);
}

void Connection::expire(uint64_t nowMs) {
  if (state_ == ConnectionState::Lingering) return destroy(CloseReason::Local, false);
  if (state_ != ConnectionState::Closed) session_->onDeadline(nowMs);
}

// Closing.

void Connection::closeAfterFlush(uint32_t lingerMs) {
  if (!isWritable() || closeAfterFlush_) return;
  closeAfterFlush_ = true;
  lingerMs_ = lingerMs;
  // Also with nothing to send: closing is the flush phase's work, so that no caller is closed under its feet.
  if (!ListNode<DirtyTag>::isLinked()) reactor_.markDirty(*this);
}

void Connection::finishClosing() {
  const bool closesAtOnce = lingerMs_ == 0 || state_ == ConnectionState::PeerEnded || !transport_->lingers();
  if (closesAtOnce) return close(CloseReason::Local, TransportClose::AfterOutput);
  if (!outputEnded_) {
    if (const Result<void> ended = transport_->shutdownWrite(); !ended) return breakOutput(ended.error().code);
    outputEnded_ = true;
  }
  reactor_.timers().schedule(*this, reactor_.nowMs() + lingerMs_);
  state_ = ConnectionState::Lingering;
  updateInterest();
  if (state_ == ConnectionState::Lingering) session_->onFinSent();
}

void Connection::endOutput() {
  if (!isWritable() || endAfterFlush_ || closeAfterFlush_) return;
  endAfterFlush_ = true;
  if (!ListNode<DirtyTag>::isLinked()) reactor_.markDirty(*this);
}

void Connection::finishOutput() {
  if (const Result<void> ended = transport_->shutdownWrite(); !ended) return breakOutput(ended.error().code);
  outputEnded_ = true;
  session_->onFinSent();
}

// ENOTCONN: the peer is gone in both directions. Who had read to the end has missed nothing; anybody else hears of the
// reset, as by reading on.
void Connection::breakOutput(int error) {
  if (error != ENOTCONN) return breakWith(error);
  if (state_ != ConnectionState::PeerEnded) return breakWith(ECONNRESET);
  close(CloseReason::PeerClosed, TransportClose::AtOnce);
}

void Connection::breakWith(int error) {
  error_ = error;
  close(CloseReason::PeerReset, TransportClose::AtOnce);
}

void Connection::destroy(CloseReason reason, bool reset) {
  close(reason, reset ? TransportClose::Reset : TransportClose::AtOnce);
}

void Connection::close(CloseReason reason, TransportClose how) {
  if (state_ == ConnectionState::Closed) return;
  setHolding(false);
  transport_->close(how);
  state_ = ConnectionState::Closed;
  reactor_.timers().cancel(*this);
  ListNode<DirtyTag>::unlink();
  firstSegment_ = lastSegment_ = nullptr;
  segmentBytes_ = 0;
  reactor_.markClosed(*this);
  session_->onClosed(reason);
}

}  // namespace gammaloop
