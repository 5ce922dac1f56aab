// Http1Session: HTTP/1 on one connection. Turns bytes into exchanges, and what the application submits into bytes, in
// the order of the requests whatever the order of the answers. Enforces the server's limits and timeouts, each with its
// own answer. The reading half is in request_reader.h.
//
// Owned by its connection. Thread: the reactor's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "http/http_server.h"
#include "http/request_reader.h"

namespace gammaloop {

class Http1Session final : public RequestReader {
 public:
  Http1Session(Connection& connection, HttpServer& server, HttpContext& context);

  // From the connection.
  void onDrained() override;
  void onClosed(CloseReason reason) override;

  // From the application, by way of the submission ring. `head.framing`, `connection` and `contentLength` are decided
  // here. Bytes stay valid until the flush phase is over.
  void respond(Exchange& exchange, ResponseHead head, bool close, bool hasConnectionField,
               std::span<const uint8_t> body);
  void start(Exchange& exchange, ResponseHead head, bool close, bool hasConnectionField,
             std::optional<uint64_t> contentLength);
  void write(Exchange& exchange, std::span<const uint8_t> bytes, bool notify);
  void end(Exchange& exchange, std::string_view trailers, bool notify);
  void consume(Exchange& exchange, uint32_t byteCount);
  void sendContinue(Exchange& exchange);
  void destroyExchange(Exchange& exchange);
  // The answer that ends HTTP on the connection: 101 with `fields`, which end in CRLF each. False: it cannot be given.
  // After it another session takes over, with what takeInput() has.
  bool upgrade(Exchange& exchange, std::string_view fields);
  std::vector<uint8_t> takeInput() { return input_.take(); }

  // From the engine.
  bool isWire() const override { return false; }
  void closeIfIdle() override;
  uint32_t cut() override;

 private:
  // From the reader.
  bool onRequest(const ArrivedRequest& request) override;
  void onBody(std::span<const uint8_t> bytes) override;
  void onBodyEnd(std::span<const HeaderField> trailers, std::span<const uint8_t> bytes) override;
  void onDiscardLimit() override { closeGracefully(false); }
  void onRefused(HttpError error, bool inBody, std::span<const uint8_t> bytes, size_t position) override;
  void onTimeout(SessionError error, std::span<const uint8_t> bytes) override;
  void onFin() override;
  void onInputEnd() override;
  void onIdle() override { closeGracefully(true); }
  uint64_t ownDeadlineMs() const override;
  void onOwnDeadline(uint64_t nowMs) override;

  // Refusing.
  void refuseWith(uint16_t status);
  void failBody(AbortReason reason, uint16_t status);
  void answerHere(Exchange& exchange, uint16_t status, bool close);
  void abort(Exchange& exchange, AbortReason reason);

  // Answering.
  Exchange& append();
  void dropLast(Exchange* previousLast);
  void begin(Exchange& exchange, ResponseHead& head, bool close, bool hasConnectionField);
  void emitHead(Exchange& exchange, const ResponseHead& head, std::span<const uint8_t> smallBody);
  void emit(Exchange& exchange, std::span<const uint8_t> bytes);
  void emit(Exchange& exchange, std::string_view text);
  void finish(Exchange& exchange);
  void advance();
  void breakResponse(Exchange& exchange);
  void closeGracefully(bool inputIsClean);

  Exchange* first_ = nullptr;  // the one whose response is being sent
  Exchange* last_ = nullptr;
  Exchange* reading_ = nullptr;  // the one whose body is being read; null while a body is being dropped
  uint32_t requestCount_ = 0;
};

}  // namespace gammaloop
