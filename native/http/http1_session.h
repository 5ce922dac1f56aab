// Http1Session: HTTP/1 on one connection. Turns bytes into exchanges, and what the application submits into bytes, in
// the order of the requests whatever the order of the answers. Enforces the server's limits and timeouts, each with its
// own answer.
//
// Reading:  Head -> (Fixed | Chunked) -> Head ...; Stopped once no further request is wanted (what still comes is
// dropped). A session that cannot go on (too many requests in flight, too much unsent, no room towards the application,
// a closed body window) keeps what it has read in input_, pauses reading, and goes on in resume().
//
// Owned by its connection. Thread: the reactor's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "http/chunked_decoder.h"
#include "http/http_server.h"
#include "reactor/connection.h"

namespace gammaloop {

class Http1Session final : public Session, public ListNode<ServerTag>, public ListNode<StalledTag> {
 public:
  // A body that nobody reads is read and dropped up to this many bytes, so that the connection can be kept.
  static constexpr uint64_t kMaxDiscardBytes = 256 * 1024;
  // A body that arrived with its head travels in the same record up to this size.
  static constexpr uint64_t kMaxCompleteBodyBytes = 64 * 1024;

  Http1Session(Connection& connection, HttpServer& server, HttpContext& context);

  // From the connection.
  void onBytes(std::span<const uint8_t> bytes) override;
  void onEndOfStream() override;
  void onDrained() override;
  void onDeadline(uint64_t nowMs) override;
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

  // From the engine.
  void resume();
  // The server is closing: closed if nothing is in flight, after a last look for a request that has just arrived.
  void closeIfIdle();
  // Cuts the connection; returns the number of exchanges that were in flight.
  uint32_t cut();
  uint32_t inFlight() const { return inFlight_; }
  const HttpServer& server() const { return server_; }
  Connection& connection() { return connection_; }

 private:
  enum class ReadState : uint8_t { Head, Fixed, Chunked, Stopped };

  // Reading, in the order of the flow. Each takes the unread bytes and returns how many it used; 0: it needs more, or
  // cannot go on.
  size_t process(std::span<const uint8_t> bytes);
  void processInput();
  size_t readHead(std::span<const uint8_t> bytes);
  size_t emptyLines(std::span<const uint8_t> bytes);
  bool headMayBeComplete(std::span<const uint8_t> bytes) const;
  size_t beginRequest(const RequestHead& head, std::span<const uint8_t> bytes);
  size_t readFixed(std::span<const uint8_t> bytes);
  size_t readChunked(std::span<const uint8_t> bytes);
  size_t bodyAllowance();
  void startBodyRate();
  void deliverBody(std::span<const uint8_t> bytes);
  void endBody(std::span<const HeaderField> trailers, std::span<const uint8_t> bytes);
  bool mustWait() const;
  void block();
  void endInput();

  // Refusing.
  void refuse(HttpError error);
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
  void becomeIdle();

  void rearm();
  uint64_t nowMs() const;

  Connection& connection_;
  HttpServer& server_;
  HttpContext& context_;
  Exchange* first_ = nullptr;  // the one whose response is being sent
  Exchange* last_ = nullptr;
  Exchange* reading_ = nullptr;  // the one whose body is being read; null while a body is being dropped
  std::vector<uint8_t> input_;   // read and not yet used
  std::unique_ptr<ChunkedDecoder> decoder_;
  uint64_t bodyRemaining_ = 0;
  uint64_t bodyReceived_ = 0;
  uint64_t idleDeadlineMs_ = 0;
  uint64_t headDeadlineMs_ = 0;
  uint64_t bodyDeadlineMs_ = 0;
  uint64_t rateDeadlineMs_ = 0;
  uint64_t rateBytes_ = 0;
  uint64_t requestStartMs_ = 0;
  uint64_t discarded_ = 0;
  int64_t bodyWindow_ = 0;
  size_t scanned_ = 0;    // of a partial head: looked at for its end
  size_t reparseAt_ = 0;  // of a partial head: parsed again at this size at the latest
  uint32_t inFlight_ = 0;
  uint32_t requestCount_ = 0;
  ReadState read_ = ReadState::Head;
  bool blocked_ = false;
  bool processing_ = false;
  bool stopAfterRequest_ = false;
  bool inputEnded_ = false;
};

}  // namespace gammaloop
