// The answering half of Http1Session: submissions become bytes, in the order of the requests. What was read comes in by
// http1_session.cc.
#include <cstring>

#include "http/http1_session.h"
#include "reactor/reactor.h"

namespace gammaloop {

void Http1Session::respond(Exchange& exchange, ResponseHead head, bool close, bool hasConnectionField,
                           std::span<const uint8_t> body) {
  if (exchange.responseStarted || exchange.detached) return;
  head.contentLength = body.size();
  head.framing = statusHasNoBody(head.status) ? BodyFraming::None : BodyFraming::Length;
  begin(exchange, head, close, hasConnectionField);
  if (exchange.withoutBody) body = {};
  static constexpr size_t kCopyBytes = 4096;  // below it, one contiguous piece is cheaper than a second slice
  if (body.size() <= kCopyBytes) {
    emitHead(exchange, head, body);
  } else {
    emitHead(exchange, head, {});
    emit(exchange, body);
  }
  finish(exchange);
}

void Http1Session::start(Exchange& exchange, ResponseHead head, bool close, bool hasConnectionField,
                         std::optional<uint64_t> contentLength) {
  if (exchange.responseStarted || exchange.detached) return;
  if (head.status == 204 || (statusHasNoBody(head.status) && !contentLength)) {
    head.framing = BodyFraming::None;
  } else if (contentLength) {
    head.framing = BodyFraming::Length;
    head.contentLength = *contentLength;
  } else {
    head.framing = exchange.isHttp10 ? BodyFraming::Close : BodyFraming::Chunked;
  }
  if (head.framing == BodyFraming::Close) close = true;
  begin(exchange, head, close, hasConnectionField);
  if (!exchange.withoutBody) {
    exchange.chunked = head.framing == BodyFraming::Chunked;
    exchange.responseRemaining = contentLength.value_or(Exchange::kUnknownLength);
  }
  emitHead(exchange, head, {});
}

void Http1Session::write(Exchange& exchange, std::span<const uint8_t> bytes, bool notify) {
  if (!exchange.responseStarted || exchange.responseEnded || exchange.detached) return;
  if (!exchange.withoutBody && !bytes.empty()) {
    if (exchange.responseRemaining != Exchange::kUnknownLength) {
      if (bytes.size() > exchange.responseRemaining) return breakResponse(exchange);
      exchange.responseRemaining -= bytes.size();
    }
    if (exchange.chunked) {
      uint8_t size[kChunkHeadBytes];
      emit(exchange, std::string_view(reinterpret_cast<char*>(size), writeChunkHead(bytes.size(), size)));
      emit(exchange, bytes);
      emit(exchange, kCrlf);
    } else {
      emit(exchange, bytes);
    }
  }
  if (!notify) return;
  if (&exchange == first_ && connection_.queuedBytes() == 0) return context_.sink.onWritable(exchange);
  exchange.notifyDrained = true;
}

void Http1Session::end(Exchange& exchange, std::string_view trailers, bool notify) {
  if (!exchange.responseStarted || exchange.responseEnded || exchange.detached) return;
  if (exchange.responseRemaining != Exchange::kUnknownLength && exchange.responseRemaining != 0) {
    return breakResponse(exchange);
  }
  if (exchange.chunked) {
    emit(exchange, kLastChunk);
    emit(exchange, trailers);
    emit(exchange, kCrlf);
  }
  exchange.notifyFlushed = notify;
  finish(exchange);
}

void Http1Session::consume(Exchange& exchange, uint32_t byteCount) {
  if (reading_ == &exchange) openWindow(byteCount);
}

void Http1Session::sendContinue(Exchange& exchange) {
  if (!exchange.continueAwaited || exchange.responseStarted || exchange.detached) return;
  exchange.continueAwaited = false;
  emit(exchange, kContinue);
  if (reading_ == &exchange) startBodyRate();
}

void Http1Session::destroyExchange(Exchange& exchange) {
  if (!exchange.detached) {
    exchange.detached = true;
    server_.counters.requestsAborted++;
  }
  connection_.destroy(CloseReason::Local, true);
}

bool Http1Session::upgrade(Exchange& exchange, std::string_view fields) {
  const bool alone = &exchange == first_ && first_ == last_;
  if (exchange.responseStarted || exchange.detached || !alone || read_ != ReadState::Held) return false;
  static constexpr std::string_view kHead =
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n";
  for (const std::string_view text : {kHead, fields, kCrlf}) emit(exchange, text);
  server_.counters.requestsCompleted++;
  context_.exchanges.destroy(exchange.key);
  first_ = last_ = nullptr;
  inFlight_ = 0;
  stopReading();
  ListNode<StalledTag>::unlink();
  connection_.setDeadline(0);
  return true;
}

Exchange& Http1Session::append() {
  Exchange* exchange = context_.exchanges.create(*this);
  (last_ == nullptr ? first_ : last_->next) = exchange;
  last_ = exchange;
  inFlight_++;
  return *exchange;
}

void Http1Session::dropLast(Exchange* previousLast) {
  context_.exchanges.destroy(last_->key);
  last_ = previousLast;
  (previousLast == nullptr ? first_ : previousLast->next) = nullptr;
  inFlight_--;
}

void Http1Session::begin(Exchange& exchange, ResponseHead& head, bool close, bool hasConnectionField) {
  exchange.responseStarted = true;
  exchange.withoutBody = exchange.isHead || statusHasNoBody(head.status);
  // A client that still waits for 100 Continue may send its body or not: nobody can tell, so the connection ends.
  if (close || exchange.continueAwaited) exchange.keepAlive = false;
  // Nothing follows this response: neither from a server that closes nor after the peer's last request.
  if ((server_.closing || inputEnded_) && &exchange == last_ && !blocked_) exchange.keepAlive = false;
  if (!exchange.keepAlive) {  // no request is taken that could not be answered
    stopAfterRequest_ = true;
    if (read_ == ReadState::Head) read_ = ReadState::Stopped;
  }
  if (hasConnectionField) return;
  if (!exchange.keepAlive) {
    head.connection = ConnectionField::Close;
  } else if (exchange.isHttp10) {
    head.connection = ConnectionField::KeepAlive;
  }
}

void Http1Session::emitHead(Exchange& exchange, const ResponseHead& head, std::span<const uint8_t> smallBody) {
  const size_t bound = responseHeadBound(head) + smallBody.size();
  const bool inTurn = &exchange == first_;
  uint8_t* out;
  size_t before = 0;
  if (inTurn) {
    out = connection_.reserve(bound);
  } else {
    if (exchange.deferred == nullptr) exchange.deferred = std::make_unique<std::vector<uint8_t>>();
    before = exchange.deferred->size();
    exchange.deferred->resize(before + bound);
    out = exchange.deferred->data() + before;
  }
  size_t size = writeResponseHead(head, context_.date, out);
  if (!smallBody.empty()) std::memcpy(out + size, smallBody.data(), smallBody.size());
  size += smallBody.size();
  server_.counters.bytesSent += size;
  if (inTurn) {
    connection_.commit(size);
  } else {
    exchange.deferred->resize(before + size);
  }
}

void Http1Session::emit(Exchange& exchange, std::span<const uint8_t> bytes) {
  server_.counters.bytesSent += bytes.size();
  if (&exchange == first_) return connection_.writeStable(bytes);
  if (exchange.deferred == nullptr) exchange.deferred = std::make_unique<std::vector<uint8_t>>();
  exchange.deferred->insert(exchange.deferred->end(), bytes.begin(), bytes.end());
}

// Small texts of passing life are copied.
void Http1Session::emit(Exchange& exchange, std::string_view text) {
  const std::span<const uint8_t> bytes{reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  if (&exchange != first_) return emit(exchange, bytes);
  server_.counters.bytesSent += bytes.size();
  connection_.write(bytes);
}

void Http1Session::finish(Exchange& exchange) {
  exchange.responseEnded = true;
  if (&exchange == first_) advance();
}

// The response in front is complete: the next one's turn, as far as they have been answered.
void Http1Session::advance() {
  while (first_ != nullptr && first_->responseEnded && connection_.isWritable()) {
    Exchange* done = first_;
    if (done->notifyFlushed) {
      if (connection_.queuedBytes() != 0) return;  // onDrained comes back
      if (!done->detached) context_.sink.onWritable(*done);
    }
    if (!done->detached) server_.counters.requestsCompleted++;
    const bool keepAlive = done->keepAlive;
    const bool clean = done->clientAskedClose && done->requestComplete && input_.empty();
    if (reading_ == done) {  // nobody will read the rest of its body
      reading_ = nullptr;
      bodyWanted_ = false;
      if (read_ == ReadState::Fixed && bodyRemaining_ > kMaxDiscardBytes) done->keepAlive = false;
    }
    const bool giveUp = !keepAlive || !done->keepAlive;
    first_ = done->next;
    if (first_ == nullptr) last_ = nullptr;
    inFlight_--;
    context_.exchanges.destroy(done->key);
    if (giveUp) return closeGracefully(clean);
    if (first_ != nullptr && first_->deferred != nullptr) {
      connection_.write(*first_->deferred);
      first_->deferred.reset();
    }
  }
  if (first_ == nullptr && connection_.isWritable()) {
    release();
    if (inputEnded_ && input_.empty()) return closeGracefully(true);
    if (server_.closing && input_.empty()) return closeGracefully(false);
    if (read_ == ReadState::Head && input_.empty()) becomeIdle();
  }
  if (blocked_) resume();
}

void Http1Session::breakResponse(Exchange& exchange) {
  server_.count(SessionError::ResponseLength);
  abort(exchange, AbortReason::Local);
  connection_.destroy(CloseReason::Local, true);
}

void Http1Session::onDrained() {
  if (first_ != nullptr && first_->notifyDrained) {
    first_->notifyDrained = false;
    if (!first_->detached) context_.sink.onWritable(*first_);
  }
  if (first_ != nullptr && first_->responseEnded) advance();
  if (blocked_) resume();
}

}  // namespace gammaloop
