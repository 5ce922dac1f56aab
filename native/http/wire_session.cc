#include "http/wire_session.h"

#include <algorithm>

#include "reactor/reactor.h"
#include "ring/records.h"

namespace gammaloop {

namespace {
// `position` has been reached, counting modulo 2^32.
bool isReached(uint32_t position, uint32_t sent) { return static_cast<int32_t>(sent - position) >= 0; }
}  // namespace

WireSession::WireSession(Connection& connection, HttpServer& server, HttpContext& context, bool raw)
    : RequestReader(connection, server, context, true) {
  context_.wire.onWireOpen(key(), server_.index);
  raw ? beginData() : awaitFirstRequest();
}

// What was read.

void WireSession::onTap(std::span<const uint8_t> bytes) {
  if (!closedReported_) context_.wire.onWireData(key(), bytes);
}

bool WireSession::onRequest(const ArrivedRequest& request) {
  if (!context_.wire.onWireRequest(key(), server_.index, request)) return false;
  inFlight_++;
  anyRequest_ = true;
  stopAfterRequest_ = !request.head.keepAlive;
  return true;
}

void WireSession::onBody(std::span<const uint8_t> bytes) {
  if (read_ == ReadState::Data) return context_.wire.onWireData(key(), bytes);
  context_.wire.onWireBody(key(), bytes);
}

void WireSession::onBodyEnd(std::span<const HeaderField> trailers, std::span<const uint8_t> bytes) {
  context_.wire.onWireBodyEnd(key(), trailers, bytes);
}

void WireSession::onRefused(HttpError error, bool, std::span<const uint8_t> bytes, size_t position) {
  failed_ = true;
  refusal_ = error;
  stopReading();
  context_.wire.onWireError(key(), static_cast<uint32_t>(error), bytes, position);
}

// As node's parser: what follows refused bytes is refused for the same reason, unread, and so are bytes behind a
// request that was to be the last (empty lines are nothing).
void WireSession::onLeftover(std::span<const uint8_t> bytes) {
  if (closedReported_ || endReported_) return;
  if (refusal_ != HttpError::None) {
    return context_.wire.onWireError(key(), static_cast<uint32_t>(refusal_), bytes, 0);
  }
  if (failed_ || !stopAfterRequest_) return;
  const auto isLineEnd = [](uint8_t byte) { return byte == '\r' || byte == '\n'; };
  const auto first = std::find_if_not(bytes.begin(), bytes.end(), isLineEnd);
  if (first == bytes.end()) return;
  refuse(HttpError::DataAfterClose, false, bytes, static_cast<size_t>(first - bytes.begin()));
}

void WireSession::onTimeout(SessionError error, std::span<const uint8_t> bytes) {
  failed_ = true;
  stopReading();
  context_.wire.onWireError(key(), records::kWireErrorSession + static_cast<uint32_t>(error), bytes, bytes.size());
}

// What is incomplete is the application's to judge.
void WireSession::onInputEnd() {
  if (endReported_) return;
  endReported_ = true;
  context_.wire.onWireEnd(key(), !failed_ && isInMessage());
  if (read_ != ReadState::Held) {
    stopReading();
    input_.release();
  }
  if (connection_.isOutputEnded()) connection_.destroy(CloseReason::PeerClosed, false);
}

// What is written.

void WireSession::write(std::span<const uint8_t> bytes, uint32_t flags) {
  static constexpr size_t kCopyBytes = 4096;  // below it, one contiguous piece is cheaper than a second slice
  if (!connection_.isWritable() || connection_.isClosingAfterFlush()) return;
  server_.counters.bytesSent += bytes.size();
  if (bytes.size() <= kCopyBytes) {
    connection_.write(bytes);
  } else {
    connection_.writeStable(bytes);
  }
  if (flags & records::kWireWriteNotifyFlag) {
    lastNotifyAt_ = connection_.sentBytes() + static_cast<uint32_t>(connection_.queuedBytes());
    if (!notifyPending_) notifyAt_ = lastNotifyAt_;
    notifyPending_ = true;
    reportFlushed();
  }
  if (flags & records::kWireWriteEndFlag) endResponse();
  if (flags & records::kWireWriteCloseFlag) closeGracefully();
}

size_t WireSession::sendNow(std::span<const uint8_t> bytes) {
  const size_t sent = connection_.sendNow(bytes);
  server_.counters.bytesSent += sent;
  return sent;
}

// What native code has read already comes first, as data.
size_t WireSession::receive(std::span<uint8_t> into) {
  if (!byHand_ || read_ != ReadState::Data || blocked_ || !input_.empty()) return 0;
  const size_t count = connection_.receive(into);
  server_.counters.bytesReceived += count;
  return count;
}

void WireSession::setReading(bool reading, bool byHand) {
  byHand_ = byHand;
  setPaused(!reading);
}

void WireSession::endResponse() {
  if (inFlight_ == 0) return;
  inFlight_--;
  server_.counters.requestsCompleted++;
  if (isBetween()) becomeIdle();
  if (blocked_) resume();
}

// A write in the middle of the queue that is waited for is answered with the first progress behind it: what has left by
// then is told once, and the rest is looked at again with the next progress.
void WireSession::reportFlushed() {
  const uint32_t sent = connection_.sentBytes();
  if (!notifyPending_ || !isReached(notifyAt_, sent)) return;
  notifyPending_ = !isReached(lastNotifyAt_, sent);
  notifyAt_ = sent + 1;
  context_.wire.onWireFlushed(key(), sent);
}

void WireSession::onDrained() {
  reportFlushed();
  if (blocked_) resume();
}

void WireSession::proceedWith(bool upgraded, bool afterBody) {
  if (read_ != ReadState::Held) return;
  if (upgraded && inFlight_ != 0) {  // no response will end it
    inFlight_--;
    server_.counters.requestsCompleted++;
  }
  if (upgraded) tapped_ = false;
  proceed(upgraded, afterBody);
}

std::vector<uint8_t> WireSession::handOver() {
  stopReading();
  inactivityMs_ = 0;
  ListNode<StalledTag>::unlink();
  connection_.setDeadline(0);
  return input_.take();
}

// Time.

void WireSession::onIdle() { context_.wire.onWireIdle(key(), WireIdle::KeepAlive); }

void WireSession::setInactivity(uint32_t timeoutMs) {
  inactivityMs_ = timeoutMs;
  silentSinceMs_ = nowMs();
  toldOfMs_ = UINT64_MAX;
  rearm();
}

uint64_t WireSession::ownDeadlineMs() const {
  if (inactivityMs_ == 0) return UINT64_MAX;
  return std::max(silentSinceMs_, connection_.lastActivityMs()) + inactivityMs_;
}

void WireSession::onOwnDeadline(uint64_t now) {
  if (ownDeadlineMs() > now) return;
  silentSinceMs_ = now;
  if (toldOfMs_ == connection_.lastActivityMs()) return;
  toldOfMs_ = connection_.lastActivityMs();
  context_.wire.onWireIdle(key(), WireIdle::Inactivity);
}

// Closing.

// What the client may still be sending is read and dropped for a while, lest a reset take the answer from it.
void WireSession::closeGracefully() {
  const bool inputIsClean = read_ == ReadState::Stopped && !failed_ && input_.empty();
  stopReading();
  rearm();
  connection_.closeAfterFlush(inputIsClean ? 0 : server_.timeouts.lingerMs);
}

// As node has it, a connection that has not asked for anything yet is not idle.
void WireSession::closeIfIdle() {
  if (!anyRequest_ || !isBetween()) return;
  connection_.readOnce();
  if (connection_.isWritable() && isBetween()) closeGracefully();
}

bool WireSession::isReceiving() {
  const uint32_t known = inFlight_;
  connection_.readOnce();
  return inFlight_ != known || isInMessage();
}

uint32_t WireSession::cut() {
  const uint32_t count = inFlight_;
  destroy(false);
  return count;
}

void WireSession::onFinSent() {
  if (connection_.state() == ConnectionState::Lingering) return reportClosed(0);
  if (endReported_) connection_.destroy(CloseReason::PeerClosed, false);
}

void WireSession::onClosed(CloseReason) { reportClosed(connection_.error()); }

// The server may be gone after this, and the connection still linger.
void WireSession::reportClosed(int error) {
  if (closedReported_) return;
  closedReported_ = true;
  stopReading();
  server_.counters.requestsAborted += inFlight_;
  server_.counters.connectionsClosed++;
  ListNode<ServerTag>::unlink();
  ListNode<StalledTag>::unlink();
  connection_.setHolding(false);
  context_.wire.onWireClosed(key(), error);
}

}  // namespace gammaloop
