#include "http/request_reader.h"

#include <algorithm>
#include <cstring>

#include "reactor/reactor.h"
#include "ring/records.h"

namespace gammaloop {

RequestReader::RequestReader(Connection& connection, HttpServer& server, HttpContext& context, bool holdsUpgrades)
    : ServedSession(connection, server), context_(context), holdsUpgrades_(holdsUpgrades) {
  server_.counters.connectionsAccepted++;
}

uint64_t RequestReader::nowMs() const { return connection_.reactor().nowMs(); }

void RequestReader::onBytes(std::span<const uint8_t> bytes) {
  server_.counters.bytesReceived += bytes.size();
  if (tapped_) onTap(bytes);
  input_.read(bytes, [this](std::span<const uint8_t> all) { return process(all); });
}

size_t RequestReader::beforeRead() {
  if (!bodyWanted_) return 0;
  if (bodyWindow_ <= 0) {
    block();
    return kNoRead;
  }
  if (tapped_ || !input_.empty()) return 0;
  if (byHand_ && read_ == ReadState::Data) {
    onReadable();
    return kNoRead;
  }
  return read_ == ReadState::Fixed ? static_cast<size_t>(std::min<uint64_t>(bodyRemaining_, kNoRead - 1)) : kNoRead - 1;
}

size_t RequestReader::process(std::span<const uint8_t> bytes) {
  size_t used = 0;
  while (used < bytes.size()) {
    if (!connection_.isWritable() || connection_.isClosingAfterFlush()) return bytes.size();
    if (paused_) {
      block();
      return used;
    }
    const std::span<const uint8_t> rest = bytes.subspan(used);
    used_ = used;
    size_t step = 0;
    switch (read_) {
      case ReadState::Head:
        step = readHead(rest);
        break;
      case ReadState::Fixed:
        step = readFixed(rest);
        break;
      case ReadState::Chunked:
        step = readChunked(rest);
        break;
      case ReadState::Data:
        step = readData(rest);
        break;
      case ReadState::Held:
        block();
        return used;
      case ReadState::Stopped:
        onLeftover(rest);
        return bytes.size();
    }
    if (step == 0) break;
    used += step;
  }
  return used;
}

// Heads.

size_t RequestReader::readHead(std::span<const uint8_t> bytes) {
  if (mustWait()) {
    block();
    return 0;
  }
  if (!headMayBeComplete(bytes)) {
    scanned_ = bytes.size();
    return 0;
  }
  RequestHead head;
  const ParseOutcome outcome = parseRequestHead(bytes, server_.limits.head, head, context_.fields);
  if (outcome.status == ParseStatus::Error) {
    refuse(outcome.error, false, bytes, head.headLength);
    return bytes.size();
  }
  if (outcome.status == ParseStatus::NeedMore) {
    if (const size_t empty = emptyLines(bytes)) return empty;
    scanned_ = bytes.size();
    const size_t limit = server_.limits.head.headerBytes;
    reparseAt_ = bytes.size() < limit ? std::min(bytes.size() * 2, limit) : bytes.size() + bytes.size() / 16;
    if (requestStartMs_ == 0) {
      requestStartMs_ = nowMs();
      startHeadDeadline(requestStartMs_);
    }
    return 0;
  }
  return beginRequest(head, bytes);
}

void RequestReader::startHeadDeadline(uint64_t startMs) {
  const HttpTimeouts& timeouts = server_.timeouts;
  const uint32_t limitMs = timeouts.headersMs != 0 ? timeouts.headersMs : timeouts.requestMs;
  headDeadlineMs_ = limitMs == 0 ? 0 : startMs + limitMs;
  idleDeadlineMs_ = 0;
  rearm();
}

// Empty lines before a request are nothing (RFC 9112 2.2): with only those, a connection is as idle as without.
size_t RequestReader::emptyLines(std::span<const uint8_t> bytes) {
  size_t length = 0;
  while (length + 1 < bytes.size() && bytes[length] == '\r' && bytes[length + 1] == '\n') length += 2;
  if (length == 0) return 0;
  scanned_ = reparseAt_ = 0;
  if (requestStartMs_ != 0) {  // the CR came alone
    requestStartMs_ = headDeadlineMs_ = 0;
    if (inFlight_ == 0) becomeIdle();
  }
  return length;
}

// A head that comes in many small pieces must not be parsed once a piece: only when its end may have come, or when it
// has doubled (to refuse early what can be refused).
bool RequestReader::headMayBeComplete(std::span<const uint8_t> bytes) const {
  if (scanned_ == 0 || bytes.size() >= reparseAt_ || bytes.size() > mostHeadBytes(server_.limits.head)) return true;
  const uint8_t* end = bytes.data() + bytes.size();
  for (const uint8_t* p = bytes.data() + scanned_; p < end; p++) {
    p = static_cast<const uint8_t*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
    if (p == nullptr) return false;
    const size_t at = static_cast<size_t>(p - bytes.data());
    if (at >= 1 && bytes[at - 1] == '\n') return true;
    if (at >= 2 && bytes[at - 1] == '\r' && bytes[at - 2] == '\n') return true;
  }
  return false;
}

size_t RequestReader::beginRequest(const RequestHead& head, std::span<const uint8_t> bytes) {
  const HttpLimits& limits = server_.limits;
  const HttpTimeouts& timeouts = server_.timeouts;
  if (limits.bodyBytes != 0 && head.contentLength > limits.bodyBytes) {
    refuse(HttpError::BodyTooLarge, false, bytes, head.headLength);
    return bytes.size();
  }
  const bool hasBody = head.chunked || head.contentLength != 0;
  const bool held = head.upgrade && (holdsUpgrades_ || (limits.upgrades && !hasBody));
  if (held && !holdsUpgrades_ && inFlight_ != 0) {  // its answer may not wait behind others
    block();
    return 0;
  }
  const uint64_t behindHead = bytes.size() - head.headLength;
  const bool bodyIsHere =
      hasBody && !head.chunked && !held && head.contentLength <= std::min(behindHead, kMaxCompleteBodyBytes);
  const size_t bodyBytes = bodyIsHere ? static_cast<size_t>(head.contentLength) : 0;
  const bool complete = !hasBody || bodyIsHere;
  if (!onRequest({head, std::span(context_.fields).first(head.fieldCount), bytes,
                  bytes.subspan(head.headLength, bodyBytes), complete})) {
    block();
    context_.room.stall(*this);
    return 0;
  }
  server_.counters.requestsReceived++;
  scanned_ = reparseAt_ = 0;
  const uint64_t startMs = requestStartMs_ != 0 ? requestStartMs_ : nowMs();
  requestStartMs_ = headDeadlineMs_ = idleDeadlineMs_ = 0;
  if (complete) {
    if (stopAfterRequest_) read_ = ReadState::Stopped;
    if (timeouts.handlerMs != 0) rearm();
  } else {
    bodyWanted_ = true;
    bodyReceived_ = discarded_ = rateBytes_ = 0;
    bodyRemaining_ = head.contentLength;
    bodyWindow_ = records::kBodyWindowBytes;
    if (timeouts.requestMs != 0) bodyDeadlineMs_ = startMs + timeouts.requestMs;
    if (!head.expectContinue) startBodyRate();  // a client that waits for 100 Continue is not slow
    read_ = head.chunked ? ReadState::Chunked : ReadState::Fixed;
    if (head.chunked)
      decoder_ = std::make_unique<ChunkedDecoder>(limits.chunkOverheadBytes, limits.chunkExtensionBytes);
    rearm();
  }
  if (held) {
    afterHold_ = read_;
    read_ = ReadState::Held;
  }
  return head.headLength + bodyBytes;
}

// Bodies.

size_t RequestReader::readFixed(std::span<const uint8_t> bytes) {
  const size_t allowed = bodyAllowance();
  if (allowed == 0) return 0;
  const size_t taken = static_cast<size_t>(std::min<uint64_t>({bytes.size(), allowed, bodyRemaining_}));
  bodyRemaining_ -= taken;
  deliverBody(bytes.first(taken));
  if (bodyRemaining_ == 0) endBody({}, {});
  return taken;
}

size_t RequestReader::readChunked(std::span<const uint8_t> bytes) {
  const size_t allowed = bodyAllowance();
  if (allowed == 0) return 0;
  const ChunkedDecoder::Step step = decoder_->decode(bytes.first(std::min(bytes.size(), allowed)));
  HttpError error = step.error;
  size_t position = step.consumed;
  switch (step.status) {
    case ChunkedDecoder::Status::NeedMore:
      return step.consumed;
    case ChunkedDecoder::Status::Data:
      bodyReceived_ += step.data.size();
      if (server_.limits.bodyBytes == 0 || bodyReceived_ <= server_.limits.bodyBytes) {
        deliverBody(step.data);
        return step.consumed;
      }
      error = HttpError::BodyTooLarge;
      break;
    case ChunkedDecoder::Status::Done: {
      const std::string trailers = decoder_->trailers();
      const std::span<const uint8_t> section{reinterpret_cast<const uint8_t*>(trailers.data()), trailers.size()};
      uint32_t count = 0;
      uint32_t consumed = 0;
      const ParseOutcome parsed = parseTrailers(section, server_.limits.head, context_.fields, count, consumed);
      if (parsed.status == ParseStatus::Done) {
        endBody(std::span(context_.fields).first(count), section);
        return step.consumed;
      }
      error = parsed.status == ParseStatus::Error ? parsed.error : HttpError::InvalidTrailer;
      position -= std::min<size_t>(position, section.size() - consumed);  // they may have begun in earlier bytes
      break;
    }
    case ChunkedDecoder::Status::Error:
      break;
  }
  refuse(error, true, bytes, position);
  return bytes.size();
}

size_t RequestReader::readData(std::span<const uint8_t> bytes) {
  const size_t taken = std::min(bytes.size(), bodyAllowance());
  if (taken != 0) deliverBody(bytes.first(taken));
  return taken;
}

// How many body bytes can be taken now. 0: the session is blocked. What one read brings is not parted by the window.
size_t RequestReader::bodyAllowance() {
  if (!bodyWanted_) return SIZE_MAX;  // being dropped
  if (bodyWindow_ <= 0) {
    block();
    return 0;
  }
  const size_t room = context_.room.bodyRoom();
  if (room == 0) {
    block();
    context_.room.stall(*this);
  }
  return room;
}

void RequestReader::deliverBody(std::span<const uint8_t> bytes) {
  rateBytes_ += bytes.size();
  if (bodyWanted_) {
    bodyWindow_ -= static_cast<int64_t>(bytes.size());
    if (rateDeadlineMs_ == 0) startBodyRate();  // it did not want to wait for 100 Continue
    return onBody(bytes);
  }
  discarded_ += bytes.size();
  if (discarded_ > kMaxDiscardBytes) onDiscardLimit();
}

void RequestReader::startBodyRate() {
  if (server_.timeouts.minBodyBytesPerSecond == 0 || read_ == ReadState::Data) return;
  rateDeadlineMs_ = nowMs() + server_.timeouts.bodyRateWindowMs;
  rateBytes_ = 0;
  rearm();
}

void RequestReader::endBody(std::span<const HeaderField> trailers, std::span<const uint8_t> bytes) {
  bodyDeadlineMs_ = rateDeadlineMs_ = 0;
  decoder_.reset();
  read_ = stopAfterRequest_ ? ReadState::Stopped : ReadState::Head;
  if (bodyWanted_) {
    bodyWanted_ = false;
    onBodyEnd(trailers, bytes);
  }
  if (dataAfterBody_) {
    dataAfterBody_ = false;
    return beginData();
  }
  if (inFlight_ == 0) becomeIdle();
}

void RequestReader::openWindow(uint32_t byteCount) {
  bodyWindow_ = std::min<int64_t>(bodyWindow_ + byteCount, records::kBodyWindowBytes);
  if (bodyWindow_ > 0) resume();
}

// Waiting, and going on.

bool RequestReader::mustWait() const {
  return inFlight_ >= server_.limits.pipelinedRequests ||
         (server_.limits.writeBufferBytes != 0 && connection_.queuedBytes() > server_.limits.writeBufferBytes);
}

void RequestReader::block() {
  blocked_ = true;
  idleDeadlineMs_ = 0;  // what waits is a request
  connection_.pauseReading();
}

void RequestReader::resume() {
  if (!blocked_ || input_.isInProcess() || paused_ || !connection_.isWritable()) return;
  blocked_ = false;
  if (rateDeadlineMs_ != 0) {  // the time that we did not read in is not the client's
    rateDeadlineMs_ = nowMs() + server_.timeouts.bodyRateWindowMs;
    rateBytes_ = 0;
  }
  if (rateDeadlineMs_ != 0 || bodyDeadlineMs_ != 0) rearm();
  if (!input_.empty()) {
    input_.readKept([this](std::span<const uint8_t> all) { return process(all); });
  }
  if (blocked_ || !connection_.isWritable()) return;
  if (inputEnded_) return onInputEnd();
  connection_.resumeReading();
}

void RequestReader::setPaused(bool paused) {
  paused_ = paused;
  if (paused) {
    blocked_ = true;
    connection_.pauseReading();
  } else {
    resume();
  }
}

void RequestReader::proceed(bool upgraded, bool afterBody) {
  if (read_ != ReadState::Held) return;
  read_ = afterHold_;
  dataAfterBody_ = upgraded && afterBody && isInBody();
  if (upgraded && !dataAfterBody_) beginData();
  resume();
}

void RequestReader::release() {
  if (read_ == ReadState::Held) read_ = afterHold_;
}

void RequestReader::beginData() {
  stopReading();
  read_ = ReadState::Data;
  bodyWanted_ = true;
  bodyWindow_ = records::kBodyWindowBytes;
}

void RequestReader::stopReading() {
  read_ = ReadState::Stopped;
  bodyWanted_ = false;
  decoder_.reset();
  idleDeadlineMs_ = headDeadlineMs_ = bodyDeadlineMs_ = rateDeadlineMs_ = requestStartMs_ = 0;
}

bool RequestReader::isInMessage() const {
  const ReadState state = read_ == ReadState::Held ? afterHold_ : read_;
  return state == ReadState::Fixed || state == ReadState::Chunked || (state == ReadState::Head && !input_.empty());
}

void RequestReader::onEndOfStream() {
  inputEnded_ = true;
  onFin();
  if (!blocked_) onInputEnd();
}

void RequestReader::refuse(HttpError error, bool inBody, std::span<const uint8_t> bytes, size_t position) {
  static constexpr size_t kMaxShownBytes = 64 * 1024;
  server_.count(error);
  const size_t before = used_ + bytes.size() <= kMaxShownBytes ? used_ : 0;
  onRefused(error, inBody, {bytes.data() - before, bytes.size() + before}, before + position);
}

// Time.

void RequestReader::becomeIdle() {
  idleDeadlineMs_ = server_.timeouts.keepAliveMs == 0 ? 0 : nowMs() + server_.timeouts.keepAliveMs;
  if (server_.closing) idleDeadlineMs_ = nowMs();  // unless a request stands behind what was just read
  rearm();
}

void RequestReader::awaitFirstRequest() { startHeadDeadline(nowMs()); }

void RequestReader::rearm() {
  uint64_t earliest = ownDeadlineMs();
  const auto consider = [&earliest](uint64_t deadlineMs) {
    if (deadlineMs != 0) earliest = std::min(earliest, deadlineMs);
  };
  consider(idleDeadlineMs_);
  consider(headDeadlineMs_);
  if (!blocked_) {
    consider(bodyDeadlineMs_);
    consider(rateDeadlineMs_);
  }
  connection_.setDeadline(earliest == UINT64_MAX ? 0 : earliest);
}

void RequestReader::onDeadline(uint64_t now) {
  const auto passed = [now](uint64_t deadlineMs) { return deadlineMs != 0 && deadlineMs <= now; };
  // What the client has sent in time may still wait in the kernel, if JavaScript kept the loop: look before judging.
  if (!blocked_ &&
      (passed(idleDeadlineMs_) || passed(headDeadlineMs_) || passed(bodyDeadlineMs_) || passed(rateDeadlineMs_))) {
    connection_.readOnce();
    if (!connection_.isWritable() || connection_.isClosingAfterFlush()) return;
  }
  if (passed(idleDeadlineMs_)) {
    idleDeadlineMs_ = 0;
    onIdle();
  } else if (passed(headDeadlineMs_)) {
    timeOut(SessionError::HeadersTimeout);
  } else if (!blocked_ && passed(bodyDeadlineMs_)) {
    timeOut(SessionError::RequestTimeout);
  } else if (!blocked_ && passed(rateDeadlineMs_)) {
    const uint64_t expected =
        uint64_t{server_.timeouts.minBodyBytesPerSecond} * server_.timeouts.bodyRateWindowMs / 1000;
    if (rateBytes_ < expected) {
      timeOut(SessionError::BodyRateTimeout);
    } else {
      rateBytes_ = 0;
      rateDeadlineMs_ = now + server_.timeouts.bodyRateWindowMs;
    }
  }
  if (!connection_.isWritable()) return;
  onOwnDeadline(now);
  if (connection_.isWritable()) rearm();
}

void RequestReader::timeOut(SessionError error) {
  server_.count(error);
  onTimeout(error, input_.take());
}

}  // namespace gammaloop
