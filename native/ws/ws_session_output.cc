// The sending half of WsSession, its timers and its end. What was read comes in by ws_session.cc.
#include <algorithm>
#include <cstring>

#include "reactor/reactor.h"
#include "ws/ws_session.h"

namespace gammaloop {

namespace {
// `position` has been reached, counting modulo 2^32.
bool isReached(uint32_t position, uint32_t sent) { return static_cast<int32_t>(sent - position) >= 0; }
constexpr size_t kPongsBelowBytes = 16 * 1024;
constexpr size_t kCopyBytes = 4096;  // below it, one contiguous piece is cheaper than a second slice
}  // namespace

// Messages.

void WsSession::send(std::span<const uint8_t> bytes, uint64_t totalBytes, WsSendFlags flags) {
  droppingRest_ = true;  // until it is taken
  if (closeSent_ || !connection_.isWritable()) return;
  if (!mayQueue(totalBytes)) {
    connection_.flush();  // what of this turn could leave has not been tried yet
    if (closeSent_ || !connection_.isWritable()) return;
    if (!mayQueue(totalBytes)) return fail(WsError::BufferedBytesExceeded);
  }
  droppingRest_ = false;
  const Opcode opcode = sendingMessage_ ? Opcode::Continuation : flags.binary ? Opcode::Binary : Opcode::Text;
  if (!sendingMessage_) {
    sendingCompressed_ =
        flags.compress && options_->deflate.enabled && (flags.more || totalBytes >= options_->deflate.thresholdBytes);
  }
  const bool first = !sendingMessage_;
  sendingMessage_ = flags.more;
  flags.compress = first;
  if (sendingCompressed_ && totalBytes > bytes.size()) return gather(bytes, totalBytes, flags, opcode);
  if (sendingCompressed_) {
    sendCompressed(bytes, flags, opcode);
  } else {
    sendFrame(opcode, !flags.more, false, bytes, totalBytes);
  }
  if (!flags.more && held_ != nullptr) {
    connection_.write(*held_);
    held_.reset();
  }
}

void WsSession::sendRest(std::span<const uint8_t> bytes) {
  if (droppingRest_ || !connection_.isWritable()) return;
  if (gathered_ == nullptr) return connection_.writeStable(bytes);
  gathered_->restBytes -= std::min<uint64_t>(gathered_->restBytes, bytes.size());
  const bool complete = gathered_->restBytes == 0;
  deflater_->deflate(bytes, complete && !gathered_->flags.more, gathered_->deflated);
  if (!complete) return;
  const std::unique_ptr<GatheredFrame> frame = std::move(gathered_);
  writeDeflated(frame->opcode, frame->flags, frame->deflated);
}

// A large message that comes in records: nobody knows how long its frame will be before all of it has been compressed.
void WsSession::gather(std::span<const uint8_t> bytes, uint64_t totalBytes, WsSendFlags flags, Opcode opcode) {
  if (ownDeflater() == nullptr) {  // no memory for a window: as it is
    sendingCompressed_ = false;
    return sendFrame(opcode, !flags.more, false, bytes, totalBytes);
  }
  gathered_ = std::make_unique<GatheredFrame>(GatheredFrame{totalBytes - bytes.size(), flags, opcode, {}});
  deflater_->deflate(bytes, false, gathered_->deflated);
}

// Whether so much may be queued beside what waits; onto an empty queue, anything may.
bool WsSession::mayQueue(uint64_t byteCount) {
  const size_t queued = connection_.queuedBytes();
  return options_->maxBufferedBytes == 0 || queued == 0 || queued + byteCount <= options_->maxBufferedBytes;
}

void WsSession::sendFrame(Opcode opcode, bool fin, bool rsv1, std::span<const uint8_t> bytes, uint64_t totalBytes) {
  const bool copies = bytes.size() <= kCopyBytes;
  uint8_t* out = connection_.reserve(kMaxSentHeadBytes + (copies ? bytes.size() : 0));
  size_t size = writeFrameHead(out, opcode, fin, rsv1, totalBytes);
  if (copies && !bytes.empty()) {
    std::memcpy(out + size, bytes.data(), bytes.size());
    size += bytes.size();
  }
  connection_.commit(size);
  if (!copies) connection_.writeStable(bytes);
}

// `flags.compress`: the message begins here.
void WsSession::sendCompressed(std::span<const uint8_t> bytes, WsSendFlags flags, Opcode opcode) {
  const DeflateOptions& deflate = options_->deflate;
  const bool whole = flags.compress && !flags.more;
  MessageDeflater* deflater = whole && !deflate.serverTakeover ? context_.streams.deflater(deflate) : ownDeflater();
  if (deflater == nullptr) {  // no memory for a window: as it is
    sendingCompressed_ = false;
    return sendFrame(opcode, !flags.more, false, bytes, bytes.size());
  }
  std::vector<uint8_t>& out = context_.deflated;
  out.clear();
  deflater->deflate(bytes, !flags.more, out);
  writeDeflated(opcode, flags, out);
}

void WsSession::writeDeflated(Opcode opcode, WsSendFlags flags, std::span<const uint8_t> bytes) {
  uint8_t* frame = connection_.reserve(kMaxSentHeadBytes + bytes.size());
  const size_t headBytes = writeFrameHead(frame, opcode, !flags.more, flags.compress, bytes.size());
  if (!bytes.empty()) std::memcpy(frame + headBytes, bytes.data(), bytes.size());
  connection_.commit(headBytes + bytes.size());
  if (!flags.more && !options_->deflate.serverTakeover) deflater_.reset();
}

MessageDeflater* WsSession::ownDeflater() {
  if (deflater_ == nullptr) deflater_ = MessageDeflater::create(options_->deflate);
  return deflater_.get();
}

// Control frames.

// While much waits, of several pings only the last is answered (RFC 6455 5.5.3): a flood of them must not fill the
// queue.
void WsSession::answerPing(std::span<const uint8_t> payload) {
  if (latePong_ == nullptr && connection_.queuedBytes() < kPongsBelowBytes) return sendPong(payload);
  if (latePong_ == nullptr) latePong_ = std::make_unique<std::vector<uint8_t>>();
  latePong_->assign(payload.begin(), payload.end());
}

void WsSession::sendControl(Opcode opcode, std::span<const uint8_t> payload) {
  if (closeSent_ || !connection_.isWritable()) return;
  sendFrame(opcode, true, false, payload, payload.size());
}

void WsSession::close(uint16_t code, std::span<const uint8_t> reason) {
  if (closeSent_ || !connection_.isWritable()) return;
  sendCloseFrame(code, reason);
  if (options_->closeMs != 0) closeDeadlineMs_ = nowMs() + options_->closeMs;
  rearm();
}

void WsSession::sendCloseFrame(uint16_t code, std::span<const uint8_t> reason) {
  if (closeSent_) return;
  closeSent_ = true;
  uint8_t payload[kMaxControlBytes];
  size_t size = 0;
  if (code != kNoCloseCode) {
    payload[0] = static_cast<uint8_t>(code >> 8);
    payload[1] = static_cast<uint8_t>(code);
    const size_t reasonBytes = std::min(reason.size(), kMaxControlBytes - 2);
    if (reasonBytes != 0) std::memcpy(payload + 2, reason.data(), reasonBytes);
    size = 2 + reasonBytes;
  }
  sendFrame(Opcode::Close, true, false, {payload, size}, size);
}

// Topics.

void WsSession::subscribe(std::string_view topic) {
  if (topics_ != nullptr && !closedTold_) topics_->subscribe(*this, topic);
}

void WsSession::unsubscribe(std::string_view topic) {
  if (topics_ != nullptr) topics_->unsubscribe(*this, topic);
}

void WsSession::deliver(const Publication& publication) {
  if (closeSent_ || !connection_.isWritable()) return;
  if (sendingMessage_) return hold(publication);
  const DeflateOptions& deflate = options_->deflate;
  const bool takesOver = deflate.enabled && deflate.serverTakeover;
  if (takesOver && publication.compress() && mayQueue(publication.bytes().size())) {
    return send(publication.bytes(), publication.bytes().size(), {publication.binary(), true, false});
  }
  SharedFrame& frame = publication.frame(takesOver ? DeflateOptions{} : deflate);
  if (!mayQueue(frame.bytes.size())) topics_->deferSettling(*this);
  connection_.writeShared(frame);
}

// In the middle of a message of its own there is no place for another (RFC 6455 5.4): it follows.
void WsSession::hold(const Publication& publication) {
  const std::span<const uint8_t> frame = publication.frame(DeflateOptions{}).bytes;
  if (held_ == nullptr) held_ = std::make_unique<std::vector<uint8_t>>();
  held_->insert(held_->end(), frame.begin(), frame.end());
  if (!mayQueue(held_->size())) topics_->deferSettling(*this);
}

void WsSession::settleDelivery() {
  if (!connection_.isWritable() || closeSent_) return;
  connection_.flush();
  if (!connection_.isWritable() || closeSent_) return;
  const size_t waiting = connection_.queuedBytes() + (held_ == nullptr ? 0 : held_->size());
  if (options_->maxBufferedBytes != 0 && waiting > options_->maxBufferedBytes) fail(WsError::BufferedBytesExceeded);
}

// What has left.

void WsSession::notifyDrained() {
  drainWanted_ = true;
  if (connection_.queuedBytes() <= Connection::kWriteLowWaterBytes) onDrained();
}

void WsSession::onProgress() {
  reportFlushed();
  below_->onProgress();
}

void WsSession::onDrained() {
  onProgress();
  if (latePong_ != nullptr && connection_.queuedBytes() < kPongsBelowBytes) {
    const std::unique_ptr<std::vector<uint8_t>> payload = std::move(latePong_);
    sendPong(*payload);
  }
  if (!drainWanted_ || closedTold_) return;
  drainWanted_ = false;
  context_.sink.onWsDrained(key());
}

void WsSession::notifyFlushed(uint32_t number) {
  notifications_.get().push_back({connection_.sentBytes() + static_cast<uint32_t>(connection_.queuedBytes()), number});
  reportFlushed();
}

void WsSession::reportFlushed() {
  if (notifications_.empty() || closedTold_) return;
  const uint32_t sent = connection_.sentBytes();
  size_t reached = 0;
  std::vector<Notification>& waiting = notifications_.get();
  while (reached < waiting.size() && isReached(waiting[reached].position, sent)) reached++;
  if (reached == 0) return;
  const uint32_t number = waiting[reached - 1].number;
  waiting.erase(waiting.begin(), waiting.begin() + static_cast<ptrdiff_t>(reached));
  context_.sink.onWsFlushed(key(), number);
}

// Time.

void WsSession::rearm() {
  uint64_t earliest = UINT64_MAX;
  const auto consider = [&earliest](uint64_t deadlineMs) { earliest = std::min(earliest, deadlineMs); };
  if (closeDeadlineMs_ != 0) consider(closeDeadlineMs_);
  if (!connection_.isClosingAfterFlush()) {
    if (options_->idleMs != 0) consider(lastReceivedMs_ + options_->idleMs);
    if (options_->pingMs != 0 && !closeSent_) consider(std::max(lastReceivedMs_, lastPingMs_) + options_->pingMs);
  }
  connection_.setDeadline(earliest == UINT64_MAX ? 0 : earliest);
}

void WsSession::onDeadline(uint64_t now) {
  if (closeDeadlineMs_ != 0 && closeDeadlineMs_ <= now) return connection_.destroy(CloseReason::Local, false);
  if (blocked_) {
    lastReceivedMs_ = now;
  } else if (!inputOver_) {
    connection_.readOnce();  // what came in time may wait in the kernel, if JavaScript kept the loop
    if (!connection_.isWritable()) return;
  }
  if (!inputOver_ && options_->idleMs != 0 && lastReceivedMs_ + options_->idleMs <= now)
    return fail(WsError::IdleTimeout);
  const bool pingDue = options_->pingMs != 0 && std::max(lastReceivedMs_, lastPingMs_) + options_->pingMs <= now;
  if (pingDue && !closeSent_) {
    lastPingMs_ = now;
    sendPing({});
    if (!connection_.isWritable()) return;
  }
  rearm();
}

// The end.

// RFC 6455 7.1.7: says why, and ends without waiting for an answer.
void WsSession::fail(WsError error, uint32_t detail) {
  if (closedTold_ || endReason_ != nullptr || connection_.isClosingAfterFlush()) return;
  inputOver_ = true;
  context_.sink.onWsFailure(key(), error, detail);
  endAfterBatch(closeCodeOf(error), {});
}

// The application has not seen yet what came before: its answers to that go first.
void WsSession::endAfterBatch(uint16_t code, std::span<const uint8_t> reason) {
  endReason_ = std::make_unique<WsEnding>(*this, code, reason);
  context_.ending.pushBack(*endReason_);
}

void WsSession::end() {
  const std::unique_ptr<WsEnding> why = std::move(endReason_);
  if (why == nullptr || !connection_.isWritable()) return;
  sendCloseFrame(why->code, why->reason);
  finishClosing();
}

void WsContext::endThose() {
  while (WsEnding* next = ending.popFront()) next->session.end();
}

std::shared_ptr<const WsOptions> WsContext::settled(const WsOptions& options) {
  if (lastOptions == nullptr || *lastOptions != options) lastOptions = std::make_shared<const WsOptions>(options);
  return lastOptions;
}

// Both have said so, or nobody waits for the peer to. What it still sends is read and dropped for a while, lest a reset
// take our close frame from it.
void WsSession::finishClosing() {
  static constexpr uint32_t kLingerMs = 2'000;
  const uint32_t waitMs = options_->closeMs == 0 ? kLingerMs : std::min(options_->closeMs, kLingerMs);
  closeDeadlineMs_ = nowMs() + std::max(options_->closeMs, waitMs);  // where the close frame does not even leave
  connection_.closeAfterFlush(waitMs);
  connection_.setDeadline(closeDeadlineMs_);
  if (blocked_) {
    blocked_ = false;
    input_.release();
    connection_.resumeReading();
  }
}

void WsSession::onFinSent() {
  if (connection_.state() == ConnectionState::Lingering) reportClosed(0);
  below_->onFinSent();
}

void WsSession::onClosed(CloseReason reason) {
  reportClosed(connection_.error());
  below_->onClosed(reason);
}

// The connection may still linger after this.
void WsSession::reportClosed(int error) {
  if (closedTold_) return;
  closedTold_ = true;
  inputOver_ = true;
  if (topics_ != nullptr) topics_->leaveAll(*this);
  topics_ = nullptr;
  ListNode<StalledTag>::unlink();
  endReason_.reset();
  context_.sink.onWsClosed(key(), error);
}

}  // namespace gammaloop
