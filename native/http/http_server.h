// What the sessions of one server share: its limits, its counters, and the exchanges and the way to the application
// that all servers of an engine share. Owned by the engine. Thread: the reactor's.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/intrusive_list.h"
#include "http/http1_parser.h"
#include "http/http_types.h"
#include "http/response_writer.h"
#include "reactor/sink_room.h"
#include "reactor/slab.h"

namespace gammaloop {

class Http1Session;
class ServedSession;
class WireSink;
struct Exchange;

struct HttpLimits {
  ParserLimits head;
  uint64_t bodyBytes = 1024 * 1024;           // 0: none, here and below
  uint32_t chunkOverheadBytes = 16 * 1024;    // of a whole body
  uint32_t chunkExtensionBytes = UINT32_MAX;  // of one chunk; with the last, the trailers
  uint32_t connections = 0;
  uint32_t requestsPerConnection = 0;
  uint32_t pipelinedRequests = 64;
  uint32_t writeBufferBytes = 1024 * 1024;
  // Exchanges: what comes behind a request that upgrades waits until it has been answered (http1_session.h, upgrade).
  bool upgrades = false;
};

struct HttpTimeouts {
  uint32_t headersMs = 60'000;
  uint32_t requestMs = 300'000;
  uint32_t keepAliveMs = 65'000;
  uint32_t handlerMs = 0;
  uint32_t bodyRateWindowMs = 10'000;
  uint32_t minBodyBytesPerSecond = 1024;
  uint32_t lingerMs = 2'000;
};

// Failures that are not a matter of the request's bytes; counted beside HttpError.
enum class SessionError : uint8_t {
  HeadersTimeout,
  RequestTimeout,
  BodyRateTimeout,
  HandlerTimeout,
  ResponseLength,
  Count
};
std::string_view nameOf(SessionError error);

struct HttpCounters {
  uint64_t connectionsAccepted = 0;
  uint64_t connectionsClosed = 0;
  uint64_t connectionsDropped = 0;
  uint64_t connectionsShed = 0;
  uint64_t requestsReceived = 0;
  uint64_t requestsCompleted = 0;
  uint64_t requestsAborted = 0;
  uint64_t bytesReceived = 0;
  uint64_t bytesSent = 0;
  std::array<uint64_t, static_cast<size_t>(HttpError::Count)> httpErrors{};
  std::array<uint64_t, static_cast<size_t>(SessionError::Count)> sessionErrors{};
};

// Why an exchange ended early; the numbers of records::kAbort...
enum class AbortReason : uint32_t {
  Client = 1,
  HandlerTimeout,
  BodyTimeout,
  BodyInvalid,
  BodyTooLarge,
  ServerClosing,
  Local,
};

// One request and its response. Lives from the end of the request's head until the response has been handed over and
// all of the request was read or given up. Owned by the slab in HttpContext; listed by its session in the order of
// arrival.
struct Exchange {
  static constexpr uint64_t kUnknownLength = UINT64_MAX;

  Exchange(SlabKey key, Http1Session& session) : session(session), key(key) {}

  Http1Session& session;
  SlabKey key;
  Exchange* next = nullptr;                        // the one that came after it on the connection
  std::unique_ptr<std::vector<uint8_t>> deferred;  // output that has to wait for earlier responses
  uint64_t handlerDeadlineMs = 0;
  uint64_t responseRemaining = kUnknownLength;  // of an announced content length
  bool isHead = false;
  bool isHttp10 = false;
  bool keepAlive = false;  // as things stand, the connection survives this response
  bool clientAskedClose = false;
  bool continueAwaited = false;  // the client waits for 100 Continue
  bool requestComplete = false;
  bool responseStarted = false;
  bool responseEnded = false;
  bool chunked = false;        // the response
  bool withoutBody = false;    // the response: HEAD, 204, 304
  bool notifyDrained = false;  // the application waits for room
  bool notifyFlushed = false;  // the application waits for the last byte; keeps the exchange alive
  bool detached = false;       // the application has been told that it is over (or never knew it)
};

// A request as it was read: its head, and its body where that arrived together with it.
struct ArrivedRequest {
  const RequestHead& head;
  std::span<const HeaderField> fields;
  std::span<const uint8_t> bytes;  // what the offsets in head and fields refer to
  std::span<const uint8_t> body;   // all of it, or nothing yet
  bool complete = false;           // nothing more of the request will come
};

// The way to the application that answers through exchanges. Everything but onRequest always succeeds; bodies are
// bounded by SinkRoom.
class ExchangeSink {
 public:
  virtual ~ExchangeSink() = default;
  virtual bool onRequest(const Exchange& exchange, const ArrivedRequest& request) = 0;
  virtual void onBody(const Exchange& exchange, std::span<const uint8_t> bytes) = 0;
  virtual void onBodyEnd(const Exchange& exchange, std::span<const HeaderField> trailers,
                         std::span<const uint8_t> bytes) = 0;
  virtual void onAbort(const Exchange& exchange, AbortReason reason, bool soft) = 0;
  virtual void onWritable(const Exchange& exchange) = 0;
};

struct HttpContext {
  SinkRoom& room;
  ExchangeSink& sink;
  WireSink& wire;
  Slab<Exchange> exchanges;
  DateLine date;
  std::vector<HeaderField> fields;  // scratch: one head at a time
};

struct ServerTag {};

struct HttpServer {
  uint32_t index = 0;
  HttpLimits limits;
  HttpTimeouts timeouts;
  HttpCounters counters;
  bool closing = false;
  IntrusiveList<ServedSession, ServerTag> sessions;

  void count(HttpError error) { counters.httpErrors[static_cast<size_t>(error)]++; }
  void count(SessionError error) { counters.sessionErrors[static_cast<size_t>(error)]++; }
  uint64_t openConnections() const { return counters.connectionsAccepted - counters.connectionsClosed; }
};

}  // namespace gammaloop
