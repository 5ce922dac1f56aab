// A WebSocket session on a connection whose transport is memory: what a client sends is fed by hand, what it would get
// is a string, and what the application is told is a log. Used by the session tests and the fuzzer. Thread: the test's.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "reactor/reactor.h"
#include "ring/records.h"
#include "ws/ws_session.h"

namespace gammaloop::test {

// A frame of a client: masked, in the shortest form, unless told otherwise.
struct FrameForm {
  bool fin = true;
  int rsv = 0;  // the three bits
  bool masked = true;
  int lengthBytes = -1;  // 0, 2 or 8; -1: the shortest
};

inline std::string frame(int opcode, std::string_view payload, FrameForm form = {}) {
  const uint64_t size = payload.size();
  const int lengthBytes = form.lengthBytes >= 0 ? form.lengthBytes : size < 126 ? 0 : size <= 0xffff ? 2 : 8;
  std::string bytes;
  bytes += static_cast<char>((form.fin ? 0x80 : 0) | form.rsv << 4 | opcode);
  const int shortLength = lengthBytes == 0 ? static_cast<int>(size) : lengthBytes == 2 ? 126 : 127;
  bytes += static_cast<char>((form.masked ? 0x80 : 0) | shortLength);
  for (int i = lengthBytes - 1; i >= 0; i--) bytes += static_cast<char>(size >> (8 * i));
  if (!form.masked) return bytes.append(payload);
  const uint8_t mask[4] = {0x12, 0xf4, 0x00, 0x7b};
  for (const uint8_t byte : mask) bytes += static_cast<char>(byte);
  for (size_t i = 0; i < size; i++) bytes += static_cast<char>(static_cast<uint8_t>(payload[i]) ^ mask[i % 4]);
  return bytes;
}

// A frame of the server.
inline std::string sentFrame(int opcode, std::string_view payload, FrameForm form = {}) {
  form.masked = false;
  return frame(opcode, payload, form);
}

inline std::string closePayload(int code, std::string_view reason = "") {
  return std::string{static_cast<char>(code >> 8), static_cast<char>(code)}.append(reason);
}

// What a test sees of a connection's other side; outlives the connection.
struct FarSide {
  std::string sent;
  size_t window = SIZE_MAX;  // how much more it takes
  Interest wanted = Interest::Read;
  bool ended = false;
  bool closed = false;
};

class MemoryTransport final : public Transport {
 public:
  explicit MemoryTransport(std::shared_ptr<FarSide> side) : side_(std::move(side)) {}
  Result<void> open(SlabKey) override { return {}; }
  int fd() const override { return -1; }
  IoOutcome receive(std::span<uint8_t>) override { return {IoOutcome::Kind::WouldBlock, 0, {}}; }
  IoOutcome send(std::span<const IoSlice> slices) override {
    size_t taken = 0;
    for (const IoSlice& slice : slices) {
      const size_t size = std::min<size_t>(slice.size, side_->window);
      side_->sent.append(reinterpret_cast<const char*>(slice.data), size);
      side_->window -= size;
      taken += size;
    }
    if (taken == 0) return {IoOutcome::Kind::WouldBlock, 0, {}};
    return {IoOutcome::Kind::Ok, taken, {}};
  }
  Result<void> shutdownWrite() override {
    side_->ended = true;
    return {};
  }
  Result<void> watch(Interest interest) override {
    side_->wanted = interest;
    return {};
  }
  void park() override {}
  int pendingError() const override { return 0; }
  bool lingers() const override { return true; }
  void close(TransportClose) override { side_->closed = true; }
  void acknowledge(uint32_t) override {}
  void onGone() override { side_->closed = true; }

 private:
  std::shared_ptr<FarSide> side_;
};

inline uint64_t wsClockMs = 5'000'000;

class WsWorld final : public ReactorDelegate, public ListenerOwner, public WsSink, public SinkRoom {
 public:
  explicit WsWorld(WsOptions given = {})
      : options(given),
        reactor(std::move(makePollPoller().value()), *this, [] { return wsClockMs; }),
        context{*this, *this, {}, 64 * 1024, {}, {}, {}} {}
  ~WsWorld() override { reactor.shutdown(); }

  struct Peer {
    Connection* connection;
    std::shared_ptr<FarSide> transport;
    WsSession* session;
  };

  Peer& connect() {
    auto side = std::make_shared<FarSide>();
    Connection* connection = reactor.adopt(std::make_unique<MemoryTransport>(side), {}, *this);
    auto* session = static_cast<WsSession*>(connection->session());
    peers.push_back(std::make_unique<Peer>(Peer{connection, side, session}));
    session->begin({});
    return *peers.back();
  }

  void feed(Peer& peer, std::string_view bytes) {
    if (!peer.transport->closed) {
      peer.connection->onFed({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    }
    settle();
  }
  // What leaves now; the transport may have got a larger window.
  void settle() {
    for (const std::unique_ptr<Peer>& peer : peers) {
      if (!peer->transport->closed && peer->connection->queuedBytes() != 0) {
        peer->connection->onReady(Readiness::kWritable);
      }
    }
    reactor.settle();
  }
  void passTime(uint64_t ms) {
    wsClockMs += ms;
    GAMMALOOP_CHECK(reactor.runOnce(0).ok());
  }

  static std::span<const uint8_t> bytesOf(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  }

  // ReactorDelegate.
  bool ringDoorbell() override { return false; }
  void drainSubmissions() override { context.endThose(); }
  void onFlushed() override {}
  LentBuffers& lentBuffers() override { return lent; }
  // ListenerOwner.
  bool admits() override { return true; }
  std::unique_ptr<Session> makeSession(Connection& connection) override {
    return std::make_unique<WsSession>(connection, context, options, &topics, std::make_unique<Below>(*this));
  }
  void onShed(uint32_t) override {}
  // SinkRoom.
  size_t bodyRoom() override { return room; }
  void stall(Stallable& session) override { stalled.pushBack(session); }
  void giveRoom() {
    room = SIZE_MAX;
    IntrusiveList<Stallable, StalledTag> waiting;
    waiting.takeAll(stalled);
    while (Stallable* session = waiting.popFront()) session->resume();
    settle();
  }
  // WsSink. Pieces of one message are joined.
  uint8_t* beginMessage(SlabKey, uint32_t size) override {
    begun.assign(size, '\0');
    return reinterpret_cast<uint8_t*>(begun.data());
  }
  void commitMessage(uint32_t flags) override { tell(flags, begun); }
  void onWsPiece(SlabKey, uint32_t flags, std::span<const uint8_t> bytes) override {
    largestPiece = std::max(largestPiece, bytes.size());
    tell(flags, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  void onWsPing(SlabKey, std::span<const uint8_t> payload) override { say("ping", payload); }
  void onWsPong(SlabKey, std::span<const uint8_t> payload) override { say("pong", payload); }
  void onWsPeerClose(SlabKey, uint16_t code, std::span<const uint8_t> reason) override {
    say("peer close " + std::to_string(code), reason);
  }
  void onWsTap(SlabKey, std::span<const uint8_t>) override {}
  void onWsFailure(SlabKey, WsError error, uint32_t) override {
    message.clear();
    log += "failure " + std::to_string(closeCodeOf(error)) + " " + std::to_string(static_cast<int>(error)) + "\n";
  }
  void onWsDrained(SlabKey) override { log += "drained\n"; }
  void onWsFlushed(SlabKey, uint32_t number) override { log += "flushed " + std::to_string(number) + "\n"; }
  void onWsClosed(SlabKey, int error) override {
    closedCount++;
    log += "closed " + std::to_string(error) + "\n";
  }

  const WsOptions options;
  TopicTable topics;
  LentBuffers lent;  // none: sessions of WebSockets take no body from them
  Reactor reactor;
  WsContext context;
  std::vector<std::unique_ptr<Peer>> peers;
  std::string log;
  std::string begun;
  std::string message;
  size_t room = SIZE_MAX;
  size_t largestPiece = 0;
  int closedCount = 0;
  int belowClosedCount = 0;
  int messageCount = 0;
  IntrusiveList<Stallable, StalledTag> stalled;

 private:
  // The session of the request.
  struct Below final : Session {
    explicit Below(WsWorld& world) : world(world) {}
    void onBytes(std::span<const uint8_t>) override {}
    void onEndOfStream() override {}
    void onDrained() override {}
    void onDeadline(uint64_t) override {}
    void onClosed(CloseReason) override { world.belowClosedCount++; }
    WsWorld& world;
  };

  void say(const std::string& what, std::span<const uint8_t> payload) {
    log += what + " " + std::string(payload.begin(), payload.end()) + "\n";
  }
  void tell(uint32_t flags, std::string_view bytes) {
    if (flags & records::kWsFirstFlag) message.clear();
    message += bytes;
    if (!(flags & records::kWsLastFlag)) return;
    messageCount++;
    const bool small = message.size() <= 200;
    log += (flags & records::kWsBinaryFlag ? "binary " : "text ") +
           (small ? message : std::to_string(message.size()) + " bytes") + "\n";
    if (flags & records::kWsAsciiFlag) {
      const bool ascii =
          std::all_of(message.begin(), message.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
      GAMMALOOP_CHECK(ascii);
    }
  }
};

}  // namespace gammaloop::test
