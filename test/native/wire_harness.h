// An engine with a server of wire sessions, and the application on the other side of the border (as lib/backend/wire.ts
// is): what each connection was told stands in its log. Checks on the way what the border promises. Fed connections
// have a transport of plain strings. Used by the wire tests and the wire fuzzer. Thread: the test's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "engine/engine.h"
#include "engine_call.h"
#include "engine_client.h"
#include "http/fed_transport.h"
#include "http/head_codec.h"
#include "http/header_lookup.h"
#include "http/wire_session.h"
#include "lender.h"
#include "ring/records.h"

namespace gammaloop::test {

inline uint64_t wireClockMs = 1'000'000;

// A connection as the application sees it.
struct Wire {
  SlabKey key;
  std::string log;     // a line a record; pieces of one body or of the data joined
  std::string output;  // fed: what its transport was given
  bool fed = false;
  bool inBody = false;
  bool awaitsProceed = false;
  bool isData = false;
  bool mayBeData = false;  // an upgrade was submitted, perhaps before its request was read here
  bool isTapped = false;
  bool failed = false;
  bool ended = false;
  bool closed = false;
  bool paused = false;  // fed: by command
  int error = 0;
  int requests = 0;
  uint32_t written = 0;
  uint32_t flushed = 0;
  uint32_t unacknowledged = 0;
  int flushes = 0;
};

class WireWorld {
 public:
  explicit WireWorld(Options given = wireOptions(), ServerKind kind = ServerKind::Wire)
      : options(given),
        completions(given.completionBytes),
        submissions(given.submissionBytes),
        engine(
            makePoller(given.poll), completions.memory(), submissions.memory(), [this] { onBatch(); },
            [] { return wireClockMs; }) {
    isRaw_ = kind == ServerKind::Raw;
    ListenTarget target;
    if (options.tcp) target.address = "127.0.0.1";
    name_ = std::string(1, '\0') + "gammaloop-wire-" + std::to_string(::getpid()) + "-" + std::to_string(worlds_++);
    if (!options.tcp) target.path = name_;
    Result<uint32_t> listening = engine.listen(target, options.limits, options.timeouts, kind);
    GAMMALOOP_CHECK(listening.ok());
    server = listening.value();
    if (options.tcp) port_ = engine.address(server).value().port;
  }

  // What serve adds, node has not.
  static Options wireOptions() {
    Options options;
    options.limits.bodyBytes = 0;
    options.limits.head.headerCount = 200;
    options.limits.head.nodeRules = true;
    options.timeouts.minBodyBytesPerSecond = 0;
    return options;
  }

  Client connect(int bufferBytes = 0) {
    return options.tcp ? Client::tcp(port_, bufferBytes) : Client::local(name_, bufferBytes);
  }
  // A connection to the server itself, made by the engine.
  Result<SlabKey> connectByEngine() {
    ConnectOptions target;
    target.address = "127.0.0.1";
    target.port = port_;
    return engine.connect(server, target, options.tcp ? "" : name_);
  }
  Wire& openFed() {
    const SlabKey key = engine.openFed(server);
    Wire& wire = add(key);
    wire.fed = true;
    return wire;
  }

  void turn() {
    engine.settleIfNeeded();
    GAMMALOOP_CHECK(engine.turn().ok());
  }
  // Turns until nothing happens any more.
  void run(std::initializer_list<Client*> clients = {}) {
    int quiet = 0;
    for (int turns = 0; quiet < 3 && turns < 5000; turns++) {
      const uint64_t before = progress();
      turn();
      size_t read = 0;
      for (Client* client : clients) read += client->read();
      quiet = progress() == before && read == 0 ? quiet + 1 : 0;
      // Loopback TCP may deliver a little later: wait for events, not for time.
      if (quiet != 0 && options.tcp) GAMMALOOP_CHECK(engine.reactor().runOnce(1).ok());
    }
  }
  void passTime(uint64_t ms) { wireClockMs += ms; }

  const HttpServer& http() const { return engine.http(server); }
  const HttpCounters& counters() const { return http().counters; }

  // The application. In the order in which they were opened.
  std::vector<std::unique_ptr<Wire>> wires;
  std::function<void(Wire&, std::string_view target, uint32_t flags)> onRequest;
  std::function<void(Wire&, size_t)> onBody;  // and data
  std::function<void(Wire&)> onReadable;
  std::function<void(Wire&)> onBodyEnd;
  std::function<void(Wire&)> onEnd;
  std::function<void(Wire&)> onError;
  bool acknowledges = true;  // fed: the transport takes everything at once
  int batches = 0;

  // Submissions.
  void write(Wire& wire, std::string_view bytes, uint32_t flags = 0) {
    uint8_t* record = reserve(records::kWireWrite, flags, records::kWriteBytes + bytes.size(), wire);
    storeWord(record, records::kWriteLengthOffset, static_cast<uint32_t>(bytes.size()));
    if (!bytes.empty()) std::memcpy(record + records::kWriteBytes, bytes.data(), bytes.size());
    producer_.commit();
    wire.written += static_cast<uint32_t>(bytes.size());
  }
  void consume(Wire& wire, uint32_t count) { submitNumber(records::kWireConsume, wire, count); }
  void proceed(Wire& wire, bool upgrade, bool afterBody = false) {
    wire.isData |= upgrade && wire.awaitsProceed;
    wire.mayBeData |= upgrade;
    wire.awaitsProceed = false;
    submitBare(records::kWireProceed, wire,
               (upgrade ? records::kWireProceedUpgradeFlag : 0) | (afterBody ? records::kWireProceedBodyFlag : 0));
  }
  void tap(Wire& wire) {
    wire.isTapped = true;
    submitBare(records::kWireTap, wire);
  }
  void shutdown(Wire& wire) { submitBare(records::kWireShutdown, wire); }
  void destroy(Wire& wire, bool reset = false) {
    submitBare(records::kWireDestroy, wire, reset ? records::kWireDestroyResetFlag : 0);
  }
  void setReading(Wire& wire, bool on, bool byHand = false) {
    submitBare(records::kWireReading, wire,
               (on ? records::kWireReadingOnFlag : 0) | (byHand ? records::kWireReadingByHandFlag : 0));
  }
  void setInactivity(Wire& wire, uint32_t ms) { submitNumber(records::kWireInactivity, wire, ms); }
  void acknowledge(Wire& wire, uint32_t count) {
    wire.unacknowledged -= count;
    submitNumber(records::kWireSent, wire, count);
  }

  const Options options;
  Ring completions;
  Ring submissions;
  Engine engine;
  Lender lender{engine};
  uint32_t server = 0;

 private:
  static std::unique_ptr<Poller> makePoller(bool poll) {
    Result<std::unique_ptr<Poller>> made = poll ? makePollPoller() : makeEpollPoller();
    GAMMALOOP_CHECK(made.ok());
    return std::move(made.value());
  }

  uint64_t progress() {
    const HttpCounters& c = counters();
    return engine.reactor().bytesReceived + engine.reactor().bytesSent + records_ + c.connectionsAccepted +
           c.connectionsClosed + c.bytesSent;
  }

  uint8_t* reserve(uint32_t opcode, uint32_t flags, size_t size, const Wire& wire) {
    uint8_t* record = producer_.reserve(opcode, flags, static_cast<uint32_t>(size));
    if (record == nullptr) {
      engine.flush();
      record = producer_.reserve(opcode, flags, static_cast<uint32_t>(size));
      GAMMALOOP_CHECK(record != nullptr);
    }
    storeWord(record, records::kExchangeIndexOffset, wire.key.index);
    storeWord(record, records::kExchangeGenerationOffset, wire.key.generation);
    return record;
  }
  void submitBare(uint32_t opcode, const Wire& wire, uint32_t flags = 0) {
    reserve(opcode, flags, records::kHeaderBytes, wire);
    producer_.commit();
  }
  void submitNumber(uint32_t opcode, const Wire& wire, uint32_t number) {
    storeWord(reserve(opcode, 0, records::kConsumeBytes, wire), records::kConsumeCountOffset, number);
    producer_.commit();
  }

  Wire& add(SlabKey key) {
    wires.push_back(std::make_unique<Wire>());
    wires.back()->key = key;
    Wire*& place = byKey_[{key.index, key.generation}];
    GAMMALOOP_CHECK(place == nullptr);  // a key is never given twice
    place = wires.back().get();
    return *place;
  }

  // As NativeLoop.#onBatch.
  void onBatch() {
    batches++;
    uint32_t head = completions.control[records::kHeadWord];
    while (head != completions.control[records::kTailWord]) {
      const uint8_t* record = completions.bytes() + (head & (completions.capacity - 1));
      head += loadWord(record, records::kSizeOffset);
      const uint32_t word = loadWord(record, records::kOpcodeOffset);
      records_++;
      if ((word & 0xffff) != records::kPad) dispatch(word & 0xffff, word >> 16, record);
    }
    lender.replenish();
    completions.control[records::kHeadWord] = head;
  }

  void dispatch(uint32_t opcode, uint32_t flags, const uint8_t* record);
  void request(Wire& wire, uint32_t flags, const uint8_t* record);
  void piece(Wire& wire, std::string_view kind, std::string_view bytes);

  RecordProducer producer_{submissions.memory()};
  std::map<std::pair<uint32_t, uint32_t>, Wire*> byKey_;
  std::string name_;
  uint16_t port_ = 0;
  uint64_t records_ = 0;
  static inline int worlds_ = 0;
  bool isRaw_ = false;
};

inline void WireWorld::dispatch(uint32_t opcode, uint32_t flags, const uint8_t* record) {
  using namespace records;  // NOLINT
  const SlabKey key{loadWord(record, kExchangeIndexOffset), loadWord(record, kExchangeGenerationOffset)};
  const uint32_t word = loadWord(record, kHeaderBytes);
  if (opcode == kServerClosed) return;
  if (opcode == kWireOpen) {
    GAMMALOOP_CHECK(word == server);
    if (byKey_[{key.index, key.generation}] == nullptr) add(key);
    return;
  }
  Wire* found = byKey_[{key.index, key.generation}];
  GAMMALOOP_CHECK(found != nullptr && !found->closed);  // nothing comes after the end
  Wire& wire = *found;
  switch (opcode) {
    case kWireConnected:
      wire.log += "connected\n";
      return;
    case kWireReadable:
      if (onReadable) onReadable(wire);
      return;
    case kWireRequest:
      return request(wire, flags, record);
    case kWireBody:
      GAMMALOOP_CHECK(wire.inBody && word > 0);
      piece(wire, "body ", lender.read(flags, record));
      if (onBody) onBody(wire, word);
      return;
    case kWireBodyEnd:
      GAMMALOOP_CHECK(wire.inBody);
      wire.inBody = false;
      wire.log += "body end " + std::to_string(loadWord(record, kBodyEndHeaderCountOffset)) + "\n";
      if (onBodyEnd) onBodyEnd(wire);
      return;
    case kWireData:
      GAMMALOOP_CHECK((isRaw_ || wire.mayBeData || wire.isTapped) && word > 0);
      piece(wire, "data ", lender.read(flags, record));
      if (onBody) onBody(wire, word);
      return;
    case kWireEnd:
      GAMMALOOP_CHECK(!wire.ended);
      wire.ended = true;
      wire.log += flags & kWireEndInMessageFlag ? "end in message\n" : "end\n";
      if (onEnd) onEnd(wire);
      return;
    case kWireError: {
      GAMMALOOP_CHECK(!wire.ended);
      wire.failed = true;
      wire.inBody = false;
      const std::string_view name = word >= kWireErrorSession
                                        ? nameOf(static_cast<SessionError>(word - kWireErrorSession))
                                        : nameOf(static_cast<HttpError>(word));
      const uint32_t size = loadWord(record, kWireErrorLengthOffset);
      const uint32_t position = loadWord(record, kWireErrorPositionOffset);
      GAMMALOOP_CHECK(position <= size);
      wire.log += "error " + std::string(name) + " " + std::to_string(position) + " of " + std::to_string(size) + "\n";
      if (onError) onError(wire);
      return;
    }
    case kWireClosed:
      wire.closed = true;
      wire.error = static_cast<int>(word);
      wire.log += "closed " + std::to_string(word) + "\n";
      return;
    case kWireFlushed:
      GAMMALOOP_CHECK(word - wire.flushed <= wire.written - wire.flushed);
      wire.flushed = word;
      wire.flushes++;
      return;
    case kWireIdle:
      wire.log += word == kWireIdleKeepAlive ? "idle keep-alive\n" : "idle inactivity\n";
      return;
    case kWireOutput:
      GAMMALOOP_CHECK(wire.fed && word > 0);
      wire.output += lender.read(flags, record);
      wire.unacknowledged += word;
      GAMMALOOP_CHECK(wire.unacknowledged <= FedTransport::kMaxUnsentBytes);
      if (acknowledges) acknowledge(wire, word);
      return;
    case kWireTransport: {
      GAMMALOOP_CHECK(wire.fed);
      static constexpr std::string_view kNames[] = {"", "pause", "resume", "end", "destroy"};
      if (word <= kWireTransportResume) wire.paused = word == kWireTransportPause;
      if (word > kWireTransportResume) wire.log += "transport " + std::string(kNames[word]) + "\n";
      return;
    }
    default:
      GAMMALOOP_CHECK(!"known completion opcode");
  }
}

// "request GET /target FLAGS": Body, Complete, Keep-alive, Expect 100, Other expectation, Upgrade.
inline void WireWorld::request(Wire& wire, uint32_t flags, const uint8_t* record) {
  using namespace records;  // NOLINT
  GAMMALOOP_CHECK(!wire.inBody && !wire.awaitsProceed && !wire.isData && !wire.failed && !wire.ended);
  GAMMALOOP_CHECK(loadWord(record, kRequestServerOffset) == server);
  const uint8_t* text = record + kRequestBytes;
  const std::string target(
      reinterpret_cast<const char*>(text) + loadWord(record, kRequestHeaderCountOffset) * kHeadIndexEntryBytes,
      loadWord(record, kRequestTargetLengthOffset));
  wire.log += "request " + std::string(kMethodNames[loadWord(record, kRequestMethodOffset)]) + " " + target + " ";
  for (const auto& [flag, letter] : {std::pair{kRequestHasBodyFlag, 'B'},
                                     {kRequestBodyCompleteFlag, 'C'},
                                     {kRequestKeepAliveFlag, 'K'},
                                     {kRequestExpectContinueFlag, 'E'},
                                     {kRequestExpectOtherFlag, 'O'},
                                     {kRequestUpgradeFlag, 'U'}}) {
    if (flags & flag) wire.log += letter;
  }
  wire.log += "\n";
  wire.requests++;
  wire.awaitsProceed = flags & kRequestUpgradeFlag;
  wire.inBody = (flags & kRequestHasBodyFlag) && !(flags & kRequestBodyCompleteFlag);
  const uint32_t bodyLength = loadWord(record, kRequestBodyLengthOffset);
  if (bodyLength != 0) {
    const char* body = reinterpret_cast<const char*>(text) + loadWord(record, kRequestTextLengthOffset);
    wire.log += "body " + std::string(body, bodyLength) + "\nbody end 0\n";
  }
  if (onRequest) onRequest(wire, target, flags);
}

inline void WireWorld::piece(Wire& wire, std::string_view kind, std::string_view bytes) {
  const size_t lastLine = wire.log.size() < 2 ? 0 : wire.log.rfind('\n', wire.log.size() - 2) + 1;
  const bool joined =
      wire.log.compare(lastLine, kind.size(), kind) == 0 && wire.log.compare(lastLine, 8, "body end") != 0;
  if (joined) wire.log.pop_back();
  wire.log.append(joined ? "" : kind).append(bytes).append("\n");
}

}  // namespace gammaloop::test
