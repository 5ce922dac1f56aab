#include "ws/ws_session.h"

#include <algorithm>
#include <cstring>

#include "reactor/reactor.h"
#include "ring/records.h"
#include "ws/mask.h"

namespace gammaloop {

using namespace records;  // NOLINT: the border's names

WsSession::WsSession(Connection& connection, WsContext& context, const WsOptions& options, TopicTable* topics,
                     std::unique_ptr<Session> below)
    : connection_(connection),
      context_(context),
      topics_(topics),
      below_(std::move(below)),
      options_(context.settled(options)),
      lastReceivedMs_(connection.reactor().nowMs()) {}

WsSession::~WsSession() {
  if (topics_ != nullptr) topics_->leaveAll(*this);
}

uint64_t WsSession::nowMs() const { return connection_.reactor().nowMs(); }

void WsSession::begin(std::span<const uint8_t> bytes, bool more) {
  if (more) {
    input_.append(bytes);
    return;
  }
  rearm();
  if (!bytes.empty()) onBytes(bytes);
  if (connection_.state() == ConnectionState::PeerEnded && !inputEnded_) {
    onEndOfStream();
  } else if (!blocked_ && !paused_) {
    connection_.resumeReading();
  }
}

// What was read.

void WsSession::onBytes(std::span<const uint8_t> bytes) {
  lastReceivedMs_ = nowMs();
  if (tapped_) context_.sink.onWsTap(key(), bytes);
  if (inputOver_) return;
  if (blocked_) return input_.append(bytes);
  input_.read(bytes, [this](std::span<const uint8_t> all) { return process(all); });
}

size_t WsSession::process(std::span<const uint8_t> bytes) {
  size_t used = 0;
  while (used < bytes.size()) {
    if (inputOver_ || !connection_.isWritable()) return bytes.size();
    if (paused_) {
      block();
      break;
    }
    const std::span<const uint8_t> rest = bytes.subspan(used);
    const size_t step = inFrame_ ? readPayload(rest) : readHead(rest);
    if (step == 0) break;
    used += step;
  }
  return used;
}

size_t WsSession::readHead(std::span<const uint8_t> bytes) {
  FrameHead head;
  const HeadOutcome outcome = parseFrameHead(bytes, head);
  if (outcome.status == HeadOutcome::Status::NeedMore) return 0;
  WsError error = outcome.error;
  uint32_t detail = outcome.detail;
  if (error == WsError::None && !isControl(head.opcode)) {
    error = checkFrame(head);
    if (error == WsError::InvalidOpcode) detail = static_cast<uint32_t>(head.opcode);
  }
  if (error != WsError::None) {
    fail(error, detail);
    return bytes.size();
  }
  if (!hasRoom()) return 0;
  if (isControl(head.opcode)) return readControl(head, bytes);
  const bool whole = head.fin && head.opcode != Opcode::Continuation && !head.rsv1 &&
                     head.length <= context_.maxWholeBytes && head.length <= bytes.size() - head.headLength;
  if (whole) return readWholeMessage(head, bytes);
  beginFrame(head);
  return head.headLength;
}

// What a head can be refused for in view of the frames before it.
WsError WsSession::checkFrame(const FrameHead& head) const {
  const bool continues = head.opcode == Opcode::Continuation;
  const bool inMessage = messageOpcode_ != Opcode::Continuation;
  if (continues != inMessage) return WsError::InvalidOpcode;
  if (head.rsv1 && (continues || !options_->deflate.enabled)) return WsError::UnexpectedRsv1;
  if (options_->maxFragments != 0 && continues && fragments_ >= options_->maxFragments) {
    return WsError::TooManyBufferedParts;
  }
  const bool inflated = continues ? compressed_ : head.rsv1;  // counted as it comes out
  if (options_->maxPayloadBytes != 0 && !inflated && head.length > options_->maxPayloadBytes - messageBytes_) {
    return WsError::UnsupportedMessageLength;
  }
  return WsError::None;
}

size_t WsSession::readWholeMessage(const FrameHead& head, std::span<const uint8_t> bytes) {
  const auto size = static_cast<uint32_t>(head.length);
  uint8_t* out = context_.sink.beginMessage(key(), size);
  if (out == nullptr) {
    block();
    context_.room.stall(*this);
    return 0;
  }
  const bool ascii = copyUnmasked(out, bytes.data() + head.headLength, size, head.mask, 0);
  const bool text = head.opcode == Opcode::Text;
  if (text && !ascii && options_->checksUtf8) {
    Utf8Checker checker;
    if (!checker.feed({out, size}) || !checker.isComplete()) {
      fail(WsError::InvalidUtf8);
      return bytes.size();
    }
  }
  context_.sink.commitMessage((text ? 0 : kWsBinaryFlag) | (ascii ? kWsAsciiFlag : 0) | kWsFirstFlag | kWsLastFlag);
  return head.headLength + size;
}

void WsSession::beginFrame(const FrameHead& head) {
  if (head.opcode != Opcode::Continuation) {
    messageOpcode_ = head.opcode;
    compressed_ = head.rsv1;
    fragments_ = 0;
  }
  fragments_++;
  remaining_ = head.length;
  std::memcpy(mask_, head.mask, sizeof mask_);
  phase_ = 0;
  lastFrame_ = head.fin;
  inFrame_ = true;
  if (remaining_ == 0) endFrame();
}

size_t WsSession::readPayload(std::span<const uint8_t> bytes) {
  if (!hasRoom()) return 0;
  uint8_t unmasked[kPieceBytes];
  const auto size = static_cast<size_t>(std::min<uint64_t>({remaining_, bytes.size(), sizeof unmasked}));
  copyUnmasked(unmasked, bytes.data(), size, mask_, phase_);
  phase_ = (phase_ + size) % 4;
  remaining_ -= size;
  if (!(compressed_ ? inflate({unmasked, size}) : take({unmasked, size}))) return bytes.size();
  if (remaining_ == 0) endFrame();
  return size;
}

// False: the connection has been failed.
bool WsSession::inflate(std::span<const uint8_t> bytes) {
  if (inflater_ == nullptr) inflater_ = context_.streams.takeInflater(options_->deflate.clientWindowBits);
  if (inflater_ == nullptr) {
    fail(WsError::InvalidCompressedData);
    return false;
  }
  context_.inflated.resize(kPieceBytes);
  for (;;) {
    const Inflater::Step step = inflater_->step(bytes, context_.inflated);
    bytes = bytes.subspan(step.consumed);
    if (!take(std::span(context_.inflated).first(step.produced))) return false;
    if (step.ended) inflater_->reset();
    if (step.ok && bytes.empty() && step.produced < kPieceBytes) return true;
    if (!step.ok || (step.consumed == 0 && step.produced == 0)) {
      fail(WsError::InvalidCompressedData);
      return false;
    }
  }
}

// Bytes of the message. False: the connection has been failed.
bool WsSession::take(std::span<const uint8_t> bytes) {
  const uint64_t limit = options_->maxPayloadBytes == 0 ? UINT64_MAX : options_->maxPayloadBytes;
  const std::span<const uint8_t> allowed = bytes.first(std::min<uint64_t>(bytes.size(), limit - messageBytes_));
  messageBytes_ += allowed.size();
  WsError error = WsError::None;
  if (isText() && options_->checksUtf8 && !utf8_.feed(allowed)) {
    error = WsError::InvalidUtf8;
  } else if (allowed.size() < bytes.size()) {
    error = WsError::UnsupportedMessageLength;
  }
  if (error != WsError::None) {
    fail(error);
    return false;
  }
  std::vector<uint8_t>& pending = pending_.get();
  pending.insert(pending.end(), bytes.begin(), bytes.end());
  if (pending.size() >= kPieceBytes) tellPiece(false);
  return true;
}

void WsSession::endFrame() {
  inFrame_ = false;
  if (!lastFrame_) return;
  static constexpr uint8_t kTail[] = {0x00, 0x00, 0xff, 0xff};  // RFC 7692 7.2.2
  if (compressed_ && !inflate(kTail)) return;
  if (isText() && options_->checksUtf8 && !utf8_.isComplete()) return fail(WsError::InvalidUtf8);
  endMessage();
}

void WsSession::endMessage() {
  tellPiece(true);
  pending_.release();
  if (compressed_ && !options_->deflate.clientTakeover) {
    context_.streams.giveBack(std::move(inflater_), options_->deflate.clientWindowBits);
    inflater_ = nullptr;
  }
  messageOpcode_ = Opcode::Continuation;
  messageBytes_ = 0;
  firstPiece_ = true;
}

void WsSession::tellPiece(bool last) {
  std::vector<uint8_t>& pending = pending_.get();
  const bool ascii = firstPiece_ && last && asciiPrefix(pending.data(), pending.size()) == pending.size();
  const uint32_t flags = (isText() ? 0 : kWsBinaryFlag) | (ascii ? kWsAsciiFlag : 0) |
                         (firstPiece_ ? kWsFirstFlag : 0) | (last ? kWsLastFlag : 0);
  firstPiece_ = false;
  context_.sink.onWsPiece(key(), flags, pending);
  pending.clear();
}

// A control frame is dealt with once it is there as a whole.
size_t WsSession::readControl(const FrameHead& head, std::span<const uint8_t> bytes) {
  const auto size = static_cast<size_t>(head.length);
  if (bytes.size() < head.headLength + size) return 0;
  uint8_t payload[kMaxControlBytes];
  copyUnmasked(payload, bytes.data() + head.headLength, size, head.mask, 0);
  const std::span<const uint8_t> unmasked{payload, size};
  if (head.opcode == Opcode::Close) {
    onPeerClose(unmasked);
    return bytes.size();
  }
  if (head.opcode == Opcode::Ping) {
    if (options_->autoPong) answerPing(unmasked);
    context_.sink.onWsPing(key(), unmasked);
  } else {
    context_.sink.onWsPong(key(), unmasked);
  }
  return head.headLength + size;
}

void WsSession::onPeerClose(std::span<const uint8_t> payload) {
  uint16_t code = kNoCloseCode;
  if (const WsError error = parseClosePayload(payload, code); error != WsError::None) {
    return fail(error, error == WsError::InvalidCloseCode ? code : static_cast<uint32_t>(payload.size()));
  }
  const std::span<const uint8_t> reason = payload.empty() ? payload : payload.subspan(2);
  Utf8Checker checker;
  if (options_->checksUtf8 && (!checker.feed(reason) || !checker.isComplete())) return fail(WsError::InvalidUtf8);
  closeReceived_ = true;
  inputOver_ = true;
  context_.sink.onWsPeerClose(key(), code, reason);
  endAfterBatch(code, reason);
}

// Waiting, and going on.

// False: the session is blocked, and is resumed when there is room.
bool WsSession::hasRoom() {
  if (context_.room.bodyRoom() != 0) return true;
  block();
  context_.room.stall(*this);
  return false;
}

void WsSession::block() {
  blocked_ = true;
  connection_.pauseReading();
}

void WsSession::setPaused(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  if (paused) return block();
  resume();
}

void WsSession::resume() {
  if (!blocked_ || input_.isInProcess() || paused_ || !connection_.isWritable()) return;
  blocked_ = false;
  lastReceivedMs_ = nowMs();  // the time that we did not read in is not the peer's
  if (!input_.empty()) {
    input_.readKept([this](std::span<const uint8_t> all) { return process(all); });
  }
  if (blocked_ || !connection_.isWritable()) return;
  if (inputEnded_) return onInputEnd();
  connection_.resumeReading();
}

void WsSession::onEndOfStream() {
  inputEnded_ = true;
  if (!blocked_) onInputEnd();
}

// A peer that ends without a close frame, or in the middle of one, is gone.
void WsSession::onInputEnd() {
  if (endReason_ == nullptr && !connection_.isClosingAfterFlush()) connection_.destroy(CloseReason::PeerClosed, false);
}

}  // namespace gammaloop
