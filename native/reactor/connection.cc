#include "reactor/connection.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "reactor/reactor.h"

namespace gammaloop {

// Reading.

void Connection::onReady(uint8_t readiness) {
  if (state_ == ConnectionState::Closed) return;
  if (readiness & Readiness::kWritable) {
    wantsWrite_ = false;
    updateInterest();
    flush();
  }
  if (state_ == ConnectionState::Closed) return;
  const bool readable = readiness & Readiness::kReadable;
  // A hang-up while reading is paused, or after FIN, would be reported without end: the peer is gone in both
  // directions.
  const bool gone = readiness & (Readiness::kError | Readiness::kHangup);
  if (readable && (reading_ || state_ == ConnectionState::Lingering)) {
    readOnce();
  } else if (gone) {
    destroy(CloseReason::PeerReset, false);
  }
}

void Connection::readOnce() {
  if (state_ == ConnectionState::PeerEnded || state_ == ConnectionState::Closed) return;
  const std::span<uint8_t> buffer = reactor_.readBuffer();
  const IoOutcome outcome = receive(fd_.get(), buffer);
  switch (outcome.kind) {
    case IoOutcome::Kind::Ok:
      reactor_.bytesReceived += outcome.bytes;
      if (state_ == ConnectionState::Open) session_->onBytes(buffer.first(outcome.bytes));
      return;
    case IoOutcome::Kind::WouldBlock:
      return;
    case IoOutcome::Kind::EndOfStream:
      return onEndOfStream();
    case IoOutcome::Kind::Failed:
      return destroy(CloseReason::PeerReset, false);
  }
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
  const auto wanted = static_cast<Interest>((read ? 1 : 0) | (wantsWrite_ ? 2 : 0));
  if (wanted == interest_ || state_ == ConnectionState::Closed) return;
  interest_ = wanted;
  if (!reactor_.poller().modify(fd_.get(), wanted, Reactor::connectionToken(key_))) {
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
  if (bytes.empty() || !isWritable() || closeAfterFlush_) return;
  addSegment(bytes.data(), bytes.size());
}

void Connection::addSegment(const uint8_t* data, size_t size) {
  segmentBytes_ += size;
  if (lastSegment_ != nullptr && lastSegment_->data + lastSegment_->size == data) {
    lastSegment_->size += size;
    return;
  }
  Segment* segment = new (reactor_.segmentArena().reserve(sizeof(Segment))) Segment{data, size, nullptr};
  reactor_.segmentArena().advance(sizeof(Segment));
  (firstSegment_ == nullptr ? firstSegment_ : lastSegment_->next) = segment;
  lastSegment_ = segment;
  if (!ListNode<DirtyTag>::isLinked()) reactor_.markDirty(*this);
}

void Connection::flush() {
  if (state_ == ConnectionState::Closed) return;
  const bool hadQueue = queuedBytes() != 0;
  while (queuedBytes() != 0) {
    IoSlice slices[kMaxIoSlices];
    size_t count = 0;
    size_t offered = backlog_.size() - backlogOffset_;
    if (offered != 0) slices[count++] = {backlog_.data() + backlogOffset_, offered};
    Segment* segment = firstSegment_;
    for (; segment != nullptr && count < kMaxIoSlices; segment = segment->next) {
      slices[count++] = {segment->data, segment->size};
      offered += segment->size;
    }
    const IoOutcome outcome = sendSlices(fd_.get(), {slices, count});
    if (outcome.kind == IoOutcome::Kind::WouldBlock) {
      keepUnsent(0);
      break;
    }
    if (outcome.kind != IoOutcome::Kind::Ok) return destroy(CloseReason::PeerReset, false);
    reactor_.bytesSent += outcome.bytes;
    if (outcome.bytes < offered) {
      keepUnsent(outcome.bytes);
      break;
    }
    // All that was offered has gone; segments from `segment` on did not fit in this call.
    segmentBytes_ -= offered - (backlog_.size() - backlogOffset_);
    backlog_.clear();
    backlogOffset_ = 0;
    firstSegment_ = segment;
    if (segment == nullptr) lastSegment_ = nullptr;
  }
  if (queuedBytes() != 0) {
    wantsWrite_ = true;
    updateInterest();
    if (state_ == ConnectionState::Closed) return;
  } else if (backlog_.capacity() > kWriteLowWaterBytes) {
    std::vector<uint8_t>().swap(backlog_);  // one slow spell must not cost memory for the connection's life
  }
  if (hadQueue && queuedBytes() <= kWriteLowWaterBytes) session_->onDrained();
  if (closeAfterFlush_ && queuedBytes() == 0) finishClosing();
}

// The batch's memory goes away after this phase: what the kernel did not take moves into memory of our own.
void Connection::keepUnsent(size_t sent) {
  const size_t fromBacklog = std::min(sent, backlog_.size() - backlogOffset_);
  backlogOffset_ += fromBacklog;
  sent -= fromBacklog;
  if (backlogOffset_ == backlog_.size()) {
    backlog_.clear();
    backlogOffset_ = 0;
  } else if (backlogOffset_ > backlog_.size() / 2) {
    backlog_.erase(backlog_.begin(), backlog_.begin() + static_cast<ptrdiff_t>(backlogOffset_));
    backlogOffset_ = 0;
  }
  for (Segment* segment = firstSegment_; segment != nullptr; segment = segment->next) {
    const size_t skip = std::min(sent, segment->size);
    sent -= skip;
    backlog_.insert(backlog_.end(), segment->data + skip, segment->data + segment->size);
  }
  firstSegment_ = lastSegment_ = nullptr;
  segmentBytes_ = 0;
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
  if (lingerMs_ == 0 || state_ == ConnectionState::PeerEnded) return destroy(CloseReason::Local, false);
  if (!shutdownWrite(fd_.get())) return destroy(CloseReason::PeerReset, false);
  reactor_.timers().schedule(*this, reactor_.nowMs() + lingerMs_);
  state_ = ConnectionState::Lingering;
  updateInterest();
}

void Connection::destroy(CloseReason reason, bool reset) {
  if (state_ == ConnectionState::Closed) return;
  // What cannot be told to a socket that is being thrown away is of no consequence: both results are looked at by
  // nobody on purpose.
  if (reset) (void)setResetOnClose(fd_.get()).ok();
  (void)reactor_.poller().remove(fd_.get()).ok();
  state_ = ConnectionState::Closed;
  fd_.close();
  reactor_.timers().cancel(*this);
  ListNode<DirtyTag>::unlink();
  firstSegment_ = lastSegment_ = nullptr;
  segmentBytes_ = 0;
  reactor_.markClosed(*this);
  session_->onClosed(reason);
}

}  // namespace gammaloop
