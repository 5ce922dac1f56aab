// Engine: the composition root. Wires the poller, the reactor, the HTTP sessions and the two rings into what one Node
// environment (the main thread, or a worker) uses for all of its servers.
//
// Owns everything below it. Thread: the driver's. JavaScript runs only inside the doorbell, where no native code is in
// the middle of anything: whatever it calls back may close, flush and free.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/completions.h"
#include "engine/repeated_looks.h"
#include "http/http_server.h"
#include "reactor/driver.h"
#include "reactor/reactor.h"
#include "ring/record_ring.h"
#include "ws/ws_session.h"

namespace gammaloop {

class WireSession;

struct ListenTarget {
  std::string address;  // literal, or "" for the dual-stack wildcard
  uint16_t port = 0;
  std::string path;    // of a unix socket
  int fd = -1;         // a listening descriptor
  bool bound = false;  // it is somebody else's, and bound: we listen on a duplicate
  ListenOptions options;
};

// What the connections of a server speak, and to whom.
enum class ServerKind : uint8_t {
  Http,  // HTTP/1, to exchanges (http/http1_session.h)
  Wire,  // HTTP/1, to an application that frames its own responses (http/wire_session.h)
  Raw,   // bytes: the same, upgraded from the beginning
};

struct CutReport {
  uint32_t exchanges = 0;
  uint32_t connections = 0;
};

class Engine final : public ReactorDelegate {
 public:
  // Calls JavaScript to read the completion ring.
  using Doorbell = std::function<void()>;

  Engine(std::unique_ptr<Poller> poller, RingMemory completions, RingMemory submissions, Doorbell doorbell,
         Reactor::Clock clock = Reactor::steadyClockMs);
  ~Engine() override;

  void attach(Driver& driver) { driver_ = &driver; }
  Reactor& reactor() { return reactor_; }

  // Servers are known by an index, valid until forget().
  uint32_t openServer(const HttpLimits& limits, const HttpTimeouts& timeouts, ServerKind kind);
  Result<void> listenOn(uint32_t server, const ListenTarget& target);
  // The two together.
  Result<uint32_t> listen(const ListenTarget& target, const HttpLimits& limits, const HttpTimeouts& timeouts,
                          ServerKind kind = ServerKind::Http);
  // Connections that are there use the new values from their next request or timer on.
  void configure(uint32_t server, const HttpLimits& limits, const HttpTimeouts& timeouts);
  void stopListening(uint32_t server);
  Result<Endpoint> address(uint32_t server);
  const std::string& unixPath(uint32_t server) const { return servers_[server]->unixPath; }
  void setReferenced(uint32_t server, bool referenced);
  const HttpServer& http(uint32_t server) const { return servers_[server]->http; }
  // Closes the connections that have nothing in flight.
  void closeIdle(uint32_t server);
  // Stops listening and closes idle connections; kServerClosed follows when the last one is gone.
  void close(uint32_t server);
  // Cuts all that is left.
  CutReport cut(uint32_t server);
  // Frees the server, with its listener and its connections where it still has any.
  void forget(uint32_t server);
  bool has(uint32_t server) const { return server < servers_.size() && servers_[server] != nullptr; }

  // Connections from elsewhere. `adopt` takes the descriptor in any case; where the server refuses it (limits), or the
  // poller does, ECONNABORTED.
  Result<SlabKey> adopt(uint32_t server, int fd);
  // Begins a connection of a server of kind Raw; kWireConnected or kWireClosed follows. `path` is a unix socket's.
  Result<SlabKey> connect(uint32_t server, const ConnectOptions& options, const std::string& path);
  // A connection whose bytes JavaScript carries (http/fed_transport.h); what happened to its transport is reported with
  // the functions below, which ignore connections that have gone, or have sockets (`feed`: bytes pushed by hand).
  SlabKey openFed(uint32_t server);
  void feed(SlabKey connection, std::span<const uint8_t> bytes);
  void feedEnd(SlabKey connection);
  void feedClosed(SlabKey connection, int error);
  // Null when it has gone, or is closing with nobody interested in it any more.
  Connection* connection(SlabKey key);
  // See WireSession::isReceiving.
  bool isReceiving(SlabKey connection);
  // Sends at once what comes after `position`, where all before it has left. Returns how many bytes have left.
  size_t sendNow(SlabKey connection, uint32_t position, std::span<const uint8_t> bytes);
  // Receives at once, where kWireReadable came. Returns how many bytes; 0: none, and what else happened is told as
  // ever.
  size_t receive(SlabKey connection, std::span<uint8_t> into);
  void setConnectionReferenced(SlabKey connection, bool referenced);
  // A connection with a socket is handed over: a duplicate of its descriptor, which is the caller's, and in `input`
  // what was read and not told. Nothing more is read; to close it is the caller's next step.
  Result<int> release(SlabKey connection, std::vector<uint8_t>& input);

  // WebSockets (engine_ws.cc).
  size_t subscriberCount(uint32_t server, std::string_view topic);
  size_t queuedBytes(SlabKey connection);

  // A turn, with what follows at once (engine/repeated_looks.h), and the later half of one.
  Result<void> turn();
  void settleIfNeeded();
  // From within JavaScript: the submission ring is full, or what was submitted shall leave now.
  void flush();
  // `slot` below records::kLentBufferCount; the memory stays until it has gone back (ring/lent_buffers.h).
  void lend(uint32_t slot, std::span<uint8_t> memory) { lentBuffers_.lend(slot, memory); }
  uint32_t exchangesAlive() const { return http_.exchanges.liveCount(); }

  // ReactorDelegate.
  bool ringDoorbell() override;
  void drainSubmissions() override;
  void onFlushed() override;
  LentBuffers& lentBuffers() override { return lentBuffers_; }

 private:
  struct Server final : ListenerOwner {
    Server(Engine& engine, ServerKind kind) : engine(engine), kind(kind) {}
    bool admits() override;
    std::unique_ptr<Session> makeSession(Connection& connection) override;
    void onShed(uint32_t shedCount) override { http.counters.connectionsShed += shedCount; }

    Engine& engine;
    const ServerKind kind;
    HttpServer http;
    TopicTable topics;
    SlabKey listener;
    std::string unixPath;
    bool ownsUnixPath = false;  // bound here; a socket that was handed over keeps its path
    bool listening = false;
    bool referenced = true;
    bool closedReported = false;
  };

  void carryOut(const uint8_t* record);
  void carryOutHead(Exchange& exchange, const uint8_t* record, uint32_t opcode, uint32_t flags);
  void carryOutWire(const uint8_t* record, uint32_t opcode, uint32_t flags);
  void carryOutWebSocket(const uint8_t* record, uint32_t opcode, uint32_t flags);
  void accept(const uint8_t* record, uint32_t flags);
  void attach(Connection& connection, const uint8_t* record, uint32_t flags);
  void publish(const uint8_t* record, uint32_t flags);
  Connection* fedConnection(SlabKey key);
  WireSession* wireSession(SlabKey key);
  void stopListening(Server& server);
  void reportClosed();
  void updateDriver();

  RingMemory completionMemory_;
  RingMemory submissionMemory_;
  RecordConsumer submissions_;
  LentBuffers lentBuffers_;
  Completions completions_;
  HttpContext http_;
  WsContext ws_;
  std::vector<uint8_t> published_;  // the beginning of a large message to a topic
  Doorbell doorbell_;
  std::vector<std::unique_ptr<Server>> servers_;
  Reactor reactor_;
  Driver* driver_ = nullptr;
  RepeatedLooks looks_;
  bool someClosing_ = false;
  bool ringing_ = false;  // JavaScript is reading completions
};

}  // namespace gammaloop
