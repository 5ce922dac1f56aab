#include "http/http1_session.h"

#include <algorithm>
#include <cstring>

#include "reactor/reactor.h"
#include "ring/records.h"

namespace gammaloop {

std::string_view nameOf(SessionError error) {
  static constexpr std::string_view kNames[] = {"HEADERS_TIMEOUT", "REQUEST_TIMEOUT", "BODY_RATE_TIMEOUT",
                                                "HANDLER_TIMEOUT", "RESPONSE_LENGTH"};
  static_assert(std::size(kNames) == static_cast<size_t>(SessionError::Count));
  return kNames[static_cast<size_t>(error)];
}

Http1Session::Http1Session(Connection& connection, HttpServer& server, HttpContext& context)
    : connection_(connection), server_(server), context_(context) {
  server_.counters.connectionsAccepted++;
  server_.sessions.pushBack(*this);
  becomeIdle();
}

uint64_t Http1Session::nowMs() const { return connection_.reactor().nowMs(); }

// Reading.

void Http1Session::onBytes(std::span<const uint8_t> bytes) {
  server_.counters.bytesReceived += bytes.size();
  if (!input_.empty()) {
    input_.insert(input_.end(), bytes.begin(), bytes.end());
    return processInput();
  }
  processing_ = true;
  const size_t used = process(bytes);
  processing_ = false;
  if (used < bytes.size()) input_.assign(bytes.begin() + static_cast<ptrdiff_t>(used), bytes.end());
}

void Http1Session::processInput() {
  processing_ = true;
  const size_t used = process(input_);
  processing_ = false;
  if (used == input_.size()) {
    std::vector<uint8_t>().swap(input_);  // an idle connection keeps no buffer
  } else {
    input_.erase(input_.begin(), input_.begin() + static_cast<ptrdiff_t>(used));
  }
}

size_t Http1Session::process(std::span<const uint8_t> bytes) {
  size_t used = 0;
  while (used < bytes.size()) {
    if (!connection_.isWritable() || connection_.isClosingAfterFlush()) return bytes.size();
    const std::span<const uint8_t> rest = bytes.subspan(used);
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
      case ReadState::Stopped:
        return bytes.size();
    }
    if (step == 0) break;
    used += step;
  }
  return used;
}

size_t Http1Session::readHead(std::span<const uint8_t> bytes) {
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
    refuse(outcome.error);
    return bytes.size();
  }
  if (outcome.status == ParseStatus::NeedMore) {
    if (const size_t empty = emptyLines(bytes)) return empty;
    scanned_ = bytes.size();
    reparseAt_ = bytes.size() * 2;
    if (requestStartMs_ == 0) {
      requestStartMs_ = nowMs();
      if (server_.timeouts.headersMs != 0) headDeadlineMs_ = requestStartMs_ + server_.timeouts.headersMs;
      idleDeadlineMs_ = 0;
      rearm();
    }
    return 0;
  }
  return beginRequest(head, bytes);
}

// Empty lines before a request are nothing (RFC 9112 2.2): with only those, a connection is as idle as without.
size_t Http1Session::emptyLines(std::span<const uint8_t> bytes) {
  size_t length = 0;
  while (length + 1 < bytes.size() && bytes[length] == '\r' && bytes[length + 1] == '\n') length += 2;
  if (length == 0) return 0;
  scanned_ = reparseAt_ = 0;
  if (requestStartMs_ != 0) {  // the CR came alone
    requestStartMs_ = headDeadlineMs_ = 0;
    if (first_ == nullptr) becomeIdle();
  }
  return length;
}

// A head that comes in many small pieces must not be parsed once a piece: only when its end may have come, or when it
// has doubled (to refuse early what can be refused).
bool Http1Session::headMayBeComplete(std::span<const uint8_t> bytes) const {
  if (scanned_ == 0 || bytes.size() >= reparseAt_ || bytes.size() > server_.limits.head.headerBytes) return true;
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

size_t Http1Session::beginRequest(const RequestHead& head, std::span<const uint8_t> bytes) {
  const HttpLimits& limits = server_.limits;
  const HttpTimeouts& timeouts = server_.timeouts;
  if (limits.bodyBytes != 0 && head.contentLength > limits.bodyBytes) {
    refuse(HttpError::BodyTooLarge);
    return bytes.size();
  }
  const bool hasBody = head.chunked || head.contentLength != 0;
  const uint64_t behindHead = bytes.size() - head.headLength;
  const bool complete = hasBody && !head.chunked && head.contentLength <= std::min(behindHead, kMaxCompleteBodyBytes);
  const size_t completeBytes = complete ? static_cast<size_t>(head.contentLength) : 0;

  Exchange* previousLast = last_;
  Exchange& exchange = append();
  exchange.isHead = head.method == Method::HEAD;
  exchange.isHttp10 = head.versionMinor == 0;
  exchange.clientAskedClose = !head.keepAlive;
  exchange.keepAlive =
      head.keepAlive && (limits.requestsPerConnection == 0 || requestCount_ + 1 < limits.requestsPerConnection);
  exchange.requestComplete = !hasBody || complete;
  exchange.continueAwaited = head.expectContinue && !exchange.requestComplete;
  if (!context_.sink.onRequest(exchange, head, std::span(context_.fields).first(head.fieldCount), bytes,
                               bytes.subspan(head.headLength, completeBytes))) {
    dropLast(previousLast);
    block();
    context_.sink.stall(*this);
    return 0;
  }
  server_.counters.requestsReceived++;
  requestCount_++;
  stopAfterRequest_ = !exchange.keepAlive;
  scanned_ = reparseAt_ = 0;
  const uint64_t startMs = requestStartMs_ != 0 ? requestStartMs_ : nowMs();
  requestStartMs_ = headDeadlineMs_ = idleDeadlineMs_ = 0;
  if (timeouts.handlerMs != 0) exchange.handlerDeadlineMs = nowMs() + timeouts.handlerMs;
  if (exchange.requestComplete) {
    if (stopAfterRequest_) read_ = ReadState::Stopped;
    if (timeouts.handlerMs != 0) rearm();
    return head.headLength + completeBytes;
  }
  reading_ = &exchange;
  bodyReceived_ = discarded_ = rateBytes_ = 0;
  bodyRemaining_ = head.contentLength;
  bodyWindow_ = records::kBodyWindowBytes;
  if (timeouts.requestMs != 0) bodyDeadlineMs_ = startMs + timeouts.requestMs;
  if (!exchange.continueAwaited) startBodyRate();
  read_ = head.chunked ? ReadState::Chunked : ReadState::Fixed;
  if (head.chunked) decoder_ = std::make_unique<ChunkedDecoder>(limits.chunkOverheadBytes);
  rearm();
  return head.headLength;
}

size_t Http1Session::readFixed(std::span<const uint8_t> bytes) {
  const size_t allowed = bodyAllowance();
  if (allowed == 0) return 0;
  const size_t taken = static_cast<size_t>(std::min<uint64_t>({bytes.size(), allowed, bodyRemaining_}));
  bodyRemaining_ -= taken;
  deliverBody(bytes.first(taken));
  if (bodyRemaining_ == 0) endBody({}, {});
  return taken;
}

size_t Http1Session::readChunked(std::span<const uint8_t> bytes) {
  const size_t allowed = bodyAllowance();
  if (allowed == 0) return 0;
  const ChunkedDecoder::Step step = decoder_->decode(bytes.first(std::min(bytes.size(), allowed)));
  HttpError error = step.error;
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
      break;
    }
    case ChunkedDecoder::Status::Error:
      break;
  }
  server_.count(error);
  const bool tooLarge = error == HttpError::BodyTooLarge || error == HttpError::ChunkOverheadExceeded;
  failBody(tooLarge ? AbortReason::BodyTooLarge : AbortReason::BodyInvalid, static_cast<uint16_t>(statusOf(error)));
  return bytes.size();
}

// How many body bytes can be taken now. 0: the session is blocked.
size_t Http1Session::bodyAllowance() {
  if (reading_ == nullptr) return SIZE_MAX;  // being dropped
  if (bodyWindow_ <= 0) {
    block();
    return 0;
  }
  const size_t room = context_.sink.bodyRoom();
  if (room == 0) {
    block();
    context_.sink.stall(*this);
  }
  return std::min<size_t>(room, static_cast<size_t>(bodyWindow_));
}

void Http1Session::deliverBody(std::span<const uint8_t> bytes) {
  rateBytes_ += bytes.size();
  if (reading_ != nullptr) {
    bodyWindow_ -= static_cast<int64_t>(bytes.size());
    if (reading_->continueAwaited) {  // it did not want to wait
      reading_->continueAwaited = false;
      startBodyRate();
    }
    // One that has been answered here (503) and waits for its turn fills its window, and nobody is told.
    if (!reading_->detached) context_.sink.onBody(*reading_, bytes);
    return;
  }
  discarded_ += bytes.size();
  if (discarded_ > kMaxDiscardBytes) closeGracefully(false);
}

// A client that waits for 100 Continue is not slow.
void Http1Session::startBodyRate() {
  if (server_.timeouts.minBodyBytesPerSecond == 0) return;
  rateDeadlineMs_ = nowMs() + server_.timeouts.bodyRateWindowMs;
  rateBytes_ = 0;
  rearm();
}

void Http1Session::endBody(std::span<const HeaderField> trailers, std::span<const uint8_t> bytes) {
  bodyDeadlineMs_ = rateDeadlineMs_ = 0;
  decoder_.reset();
  read_ = stopAfterRequest_ ? ReadState::Stopped : ReadState::Head;
  if (reading_ != nullptr) {
    reading_->requestComplete = true;
    if (!reading_->detached) context_.sink.onBodyEnd(*reading_, trailers, bytes);
    reading_ = nullptr;
  }
  if (first_ == nullptr) becomeIdle();
}

bool Http1Session::mustWait() const {
  return inFlight_ >= server_.limits.pipelinedRequests ||
         (server_.limits.writeBufferBytes != 0 && connection_.queuedBytes() > server_.limits.writeBufferBytes);
}

void Http1Session::block() {
  blocked_ = true;
  idleDeadlineMs_ = 0;  // what waits is a request
  connection_.pauseReading();
}

void Http1Session::resume() {
  if (!blocked_ || processing_ || !connection_.isWritable()) return;
  blocked_ = false;
  if (rateDeadlineMs_ != 0) {  // the time that we did not read in is not the client's
    rateDeadlineMs_ = nowMs() + server_.timeouts.bodyRateWindowMs;
    rateBytes_ = 0;
  }
  if (rateDeadlineMs_ != 0 || bodyDeadlineMs_ != 0) rearm();
  if (!input_.empty()) processInput();
  if (blocked_ || !connection_.isWritable()) return;
  if (inputEnded_) return endInput();
  connection_.resumeReading();
}

void Http1Session::onEndOfStream() {
  inputEnded_ = true;
  // The peer may have gone, or only be done with asking: the application is told, and its answers are still sent.
  for (Exchange* exchange = first_; exchange != nullptr; exchange = exchange->next) {
    if (!exchange->detached && !exchange->responseEnded) context_.sink.onAbort(*exchange, AbortReason::Client, true);
  }
  if (!blocked_) endInput();
}

void Http1Session::endInput() {
  if (read_ == ReadState::Fixed || read_ == ReadState::Chunked) {
    server_.count(HttpError::UnexpectedEnd);
    return failBody(AbortReason::Client, 400);
  }
  if (read_ == ReadState::Head && !input_.empty()) {
    input_.clear();
    return refuse(HttpError::UnexpectedEnd);
  }
  read_ = ReadState::Stopped;
  if (first_ == nullptr) closeGracefully(true);
}

// Refusing.

void Http1Session::refuse(HttpError error) {
  server_.count(error);
  refuseWith(static_cast<uint16_t>(statusOf(error)));
}

// The answer takes its turn behind those of earlier requests.
void Http1Session::refuseWith(uint16_t status) {
  read_ = ReadState::Stopped;
  headDeadlineMs_ = idleDeadlineMs_ = requestStartMs_ = 0;
  Exchange& exchange = append();
  exchange.detached = true;
  exchange.requestComplete = true;
  answerHere(exchange, status, true);
}

void Http1Session::failBody(AbortReason reason, uint16_t status) {
  Exchange* exchange = reading_;
  read_ = ReadState::Stopped;
  reading_ = nullptr;
  decoder_.reset();
  bodyDeadlineMs_ = rateDeadlineMs_ = 0;
  if (exchange == nullptr) return closeGracefully(false);
  exchange->requestComplete = true;
  if (exchange->responseEnded) {  // it only waits for its turn
    exchange->keepAlive = false;
    return;
  }
  abort(*exchange, reason);
  if (exchange->responseStarted) return connection_.destroy(CloseReason::Local, true);
  answerHere(*exchange, status, true);
}

void Http1Session::answerHere(Exchange& exchange, uint16_t status, bool close) {
  ResponseHead head;
  head.status = status;
  begin(exchange, head, close, false);
  emitHead(exchange, head, {});
  finish(exchange);
}

void Http1Session::abort(Exchange& exchange, AbortReason reason) {
  if (exchange.detached) return;
  exchange.detached = true;
  server_.counters.requestsAborted++;
  if (exchange.responseEnded && !exchange.notifyFlushed) return;  // the application has turned away
  context_.sink.onAbort(exchange, reason, false);
}

// Time.

void Http1Session::becomeIdle() {
  idleDeadlineMs_ = server_.timeouts.keepAliveMs == 0 ? 0 : nowMs() + server_.timeouts.keepAliveMs;
  if (server_.closing) idleDeadlineMs_ = nowMs();  // unless a request stands behind what was just read
  rearm();
}

void Http1Session::rearm() {
  uint64_t earliest = UINT64_MAX;
  const auto consider = [&earliest](uint64_t deadlineMs) {
    if (deadlineMs != 0) earliest = std::min(earliest, deadlineMs);
  };
  consider(idleDeadlineMs_);
  consider(headDeadlineMs_);
  if (!blocked_) {
    consider(bodyDeadlineMs_);
    consider(rateDeadlineMs_);
  }
  if (server_.timeouts.handlerMs != 0) {
    for (Exchange* exchange = first_; exchange != nullptr; exchange = exchange->next) {
      if (!exchange->responseStarted) consider(exchange->handlerDeadlineMs);
    }
  }
  connection_.setDeadline(earliest == UINT64_MAX ? 0 : earliest);
}

void Http1Session::onDeadline(uint64_t now) {
  const auto passed = [now](uint64_t deadlineMs) { return deadlineMs != 0 && deadlineMs <= now; };
  // What the client has sent in time may still wait in the kernel, if JavaScript kept the loop: look before judging.
  if (!blocked_ &&
      (passed(idleDeadlineMs_) || passed(headDeadlineMs_) || passed(bodyDeadlineMs_) || passed(rateDeadlineMs_))) {
    connection_.readOnce();
    if (!connection_.isWritable() || connection_.isClosingAfterFlush()) return;
  }
  if (passed(idleDeadlineMs_)) return closeGracefully(true);
  if (passed(headDeadlineMs_)) {
    server_.count(SessionError::HeadersTimeout);
    std::vector<uint8_t>().swap(input_);
    refuseWith(408);
  } else if (!blocked_ && passed(bodyDeadlineMs_)) {
    server_.count(SessionError::RequestTimeout);
    failBody(AbortReason::BodyTimeout, 408);
  } else if (!blocked_ && passed(rateDeadlineMs_)) {
    const uint64_t expected =
        uint64_t{server_.timeouts.minBodyBytesPerSecond} * server_.timeouts.bodyRateWindowMs / 1000;
    if (rateBytes_ < expected) {
      server_.count(SessionError::BodyRateTimeout);
      failBody(AbortReason::BodyTimeout, 408);
    } else {
      rateBytes_ = 0;
      rateDeadlineMs_ = now + server_.timeouts.bodyRateWindowMs;
    }
  }
  for (Exchange* exchange = first_; exchange != nullptr;) {
    if (exchange->responseStarted || !passed(exchange->handlerDeadlineMs)) {
      exchange = exchange->next;
      continue;
    }
    server_.count(SessionError::HandlerTimeout);
    abort(*exchange, AbortReason::HandlerTimeout);
    answerHere(*exchange, 503, !exchange->requestComplete);
    if (!connection_.isWritable() || connection_.isClosingAfterFlush()) return;
    exchange = first_;  // answering may have ended this one, and those behind it
  }
  rearm();
}

// Closing.

// What the client may still be sending is read and dropped for a while, lest a reset take the answer from it.
void Http1Session::closeGracefully(bool inputIsClean) {
  read_ = ReadState::Stopped;
  reading_ = nullptr;
  for (Exchange* exchange = first_; exchange != nullptr; exchange = exchange->next)
    abort(*exchange, AbortReason::Local);
  idleDeadlineMs_ = headDeadlineMs_ = bodyDeadlineMs_ = rateDeadlineMs_ = 0;
  connection_.setDeadline(0);
  connection_.closeAfterFlush(inputIsClean ? 0 : server_.timeouts.lingerMs);
}

void Http1Session::closeIfIdle() {
  const auto idle = [this] { return first_ == nullptr && read_ == ReadState::Head && input_.empty(); };
  if (!idle()) return;
  connection_.readOnce();
  if (connection_.isWritable() && idle()) closeGracefully(false);
}

uint32_t Http1Session::cut() {
  uint32_t count = 0;
  for (Exchange* exchange = first_; exchange != nullptr; exchange = exchange->next) {
    if (!exchange->detached && !exchange->responseEnded) count++;
    abort(*exchange, AbortReason::ServerClosing);
  }
  connection_.destroy(CloseReason::Local, count != 0);
  return count;
}

void Http1Session::onClosed(CloseReason) {
  while (first_ != nullptr) {
    Exchange* exchange = first_;
    abort(*exchange, AbortReason::Client);
    first_ = exchange->next;
    context_.exchanges.destroy(exchange->key);
  }
  last_ = reading_ = nullptr;
  inFlight_ = 0;
  read_ = ReadState::Stopped;
  server_.counters.connectionsClosed++;
  ListNode<ServerTag>::unlink();
  ListNode<StalledTag>::unlink();
}

}  // namespace gammaloop
