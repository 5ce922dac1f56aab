#include "http/http1_session.h"

#include <algorithm>

#include "reactor/reactor.h"

namespace gammaloop {

std::string_view nameOf(SessionError error) {
  static constexpr std::string_view kNames[] = {"HEADERS_TIMEOUT", "REQUEST_TIMEOUT", "BODY_RATE_TIMEOUT",
                                                "HANDLER_TIMEOUT", "RESPONSE_LENGTH"};
  static_assert(std::size(kNames) == static_cast<size_t>(SessionError::Count));
  return kNames[static_cast<size_t>(error)];
}

Http1Session::Http1Session(Connection& connection, HttpServer& server, HttpContext& context)
    : RequestReader(connection, server, context, false) {
  becomeIdle();
}

// What was read.

bool Http1Session::onRequest(const ArrivedRequest& request) {
  const RequestHead& head = request.head;
  const uint32_t limit = server_.limits.requestsPerConnection;
  Exchange* previousLast = last_;
  Exchange& exchange = append();
  exchange.isHead = head.method == Method::HEAD;
  exchange.isHttp10 = head.versionMinor == 0;
  exchange.clientAskedClose = !head.keepAlive;
  exchange.keepAlive = head.keepAlive && (limit == 0 || requestCount_ + 1 < limit);
  exchange.requestComplete = request.complete;
  exchange.continueAwaited = head.expectContinue && !request.complete;
  if (!context_.sink.onRequest(exchange, request)) {
    dropLast(previousLast);
    return false;
  }
  requestCount_++;
  stopAfterRequest_ = !exchange.keepAlive;
  if (server_.timeouts.handlerMs != 0) exchange.handlerDeadlineMs = nowMs() + server_.timeouts.handlerMs;
  if (!request.complete) reading_ = &exchange;
  return true;
}

void Http1Session::onBody(std::span<const uint8_t> bytes) {
  reading_->continueAwaited = false;
  // One that has been answered here (503) and waits for its turn fills its window, and nobody is told.
  if (!reading_->detached) context_.sink.onBody(*reading_, bytes);
}

void Http1Session::onBodyEnd(std::span<const HeaderField> trailers, std::span<const uint8_t> bytes) {
  reading_->requestComplete = true;
  if (!reading_->detached) context_.sink.onBodyEnd(*reading_, trailers, bytes);
  reading_ = nullptr;
}

// The peer may have gone, or only be done with asking: the application is told, and its answers are still sent.
void Http1Session::onFin() {
  for (Exchange* exchange = first_; exchange != nullptr; exchange = exchange->next) {
    if (!exchange->detached && !exchange->responseEnded) context_.sink.onAbort(*exchange, AbortReason::Client, true);
  }
}

void Http1Session::onInputEnd() {
  if (isInBody()) {
    server_.count(HttpError::UnexpectedEnd);
    return failBody(AbortReason::Client, 400);
  }
  if (read_ == ReadState::Head && !input_.empty()) {
    input_.release();
    server_.count(HttpError::UnexpectedEnd);
    return refuseWith(static_cast<uint16_t>(statusOf(HttpError::UnexpectedEnd)));
  }
  read_ = ReadState::Stopped;
  if (first_ == nullptr) closeGracefully(true);
}

// Refusing.

void Http1Session::onRefused(HttpError error, bool inBody, std::span<const uint8_t>, size_t) {
  const auto status = static_cast<uint16_t>(statusOf(error));
  if (!inBody) return refuseWith(status);
  const bool tooLarge = error == HttpError::BodyTooLarge || error == HttpError::ChunkOverheadExceeded;
  failBody(tooLarge ? AbortReason::BodyTooLarge : AbortReason::BodyInvalid, status);
}

void Http1Session::onTimeout(SessionError error, std::span<const uint8_t>) {
  if (error == SessionError::HeadersTimeout) return refuseWith(408);
  failBody(AbortReason::BodyTimeout, 408);
}

// The answer takes its turn behind those of earlier requests.
void Http1Session::refuseWith(uint16_t status) {
  stopReading();
  Exchange& exchange = append();
  exchange.detached = true;
  exchange.requestComplete = true;
  answerHere(exchange, status, true);
}

void Http1Session::failBody(AbortReason reason, uint16_t status) {
  Exchange* exchange = reading_;
  stopReading();
  reading_ = nullptr;
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

uint64_t Http1Session::ownDeadlineMs() const {
  uint64_t earliest = UINT64_MAX;
  if (server_.timeouts.handlerMs == 0 || connection_.isClosingAfterFlush()) return earliest;
  for (const Exchange* exchange = first_; exchange != nullptr; exchange = exchange->next) {
    if (exchange->responseStarted || exchange->handlerDeadlineMs == 0) continue;
    earliest = std::min(earliest, exchange->handlerDeadlineMs);
  }
  return earliest;
}

void Http1Session::onOwnDeadline(uint64_t now) {
  if (connection_.isClosingAfterFlush()) return;
  for (Exchange* exchange = first_; exchange != nullptr;) {
    const bool passed = exchange->handlerDeadlineMs != 0 && exchange->handlerDeadlineMs <= now;
    if (exchange->responseStarted || !passed) {
      exchange = exchange->next;
      continue;
    }
    server_.count(SessionError::HandlerTimeout);
    abort(*exchange, AbortReason::HandlerTimeout);
    answerHere(*exchange, 503, !exchange->requestComplete);
    if (!connection_.isWritable() || connection_.isClosingAfterFlush()) return;
    exchange = first_;  // answering may have ended this one, and those behind it
  }
}

// Closing.

// What the client may still be sending is read and dropped for a while, lest a reset take the answer from it.
void Http1Session::closeGracefully(bool inputIsClean) {
  stopReading();
  reading_ = nullptr;
  for (Exchange* exchange = first_; exchange != nullptr; exchange = exchange->next)
    abort(*exchange, AbortReason::Local);
  connection_.setDeadline(0);
  connection_.closeAfterFlush(inputIsClean ? 0 : server_.timeouts.lingerMs);
}

void Http1Session::closeIfIdle() {
  if (!isBetween()) return;
  connection_.readOnce();
  if (connection_.isWritable() && isBetween()) closeGracefully(false);
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
  stopReading();
  server_.counters.connectionsClosed++;
  ListNode<ServerTag>::unlink();
  ListNode<StalledTag>::unlink();
}

}  // namespace gammaloop
