// An engine with rings in plain memory, an application on the other side of the border (as lib/backend/native-loop.ts
// and lib/bridge/submission-writer.ts are), and a clock that stands still until told otherwise. Used by the engine
// tests and the session fuzzer. Thread: the test's.
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
#include "http/head_codec.h"
#include "http/header_lookup.h"
#include "lender.h"
#include "ring/records.h"

namespace gammaloop::test {

inline uint64_t clockMs = 1'000'000;

class World {
 public:
  explicit World(Options given = {})
      : options(given),
        completions(given.completionBytes),
        submissions(given.submissionBytes),
        engine(
            makePoller(given.poll), completions.memory(), submissions.memory(), [this] { onBatch(); },
            [] { return clockMs; }) {
    ListenTarget target;
    if (options.tcp) target.address = "127.0.0.1";
    name_ = std::string(1, '\0') + "gammaloop-test-" + std::to_string(::getpid()) + "-" + std::to_string(worlds_++);
    if (!options.tcp) target.path = name_;
    Result<uint32_t> listening = engine.listen(target, options.limits, options.timeouts);
    GAMMALOOP_CHECK(listening.ok());
    server = listening.value();
    if (options.tcp) port_ = engine.address(server).value().port;
  }

  Client connect(int bufferBytes = 0) {
    return options.tcp ? Client::tcp(port_, bufferBytes) : Client::local(name_, bufferBytes);
  }

  // A turn as the inline driver makes it: first what was submitted outside of one.
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
  void passTime(uint64_t ms) { clockMs += ms; }

  const HttpServer& http() const { return engine.http(server); }
  const HttpCounters& counters() const { return http().counters; }
  uint64_t errors(HttpError error) const { return counters().httpErrors[static_cast<size_t>(error)]; }
  uint64_t errors(SessionError error) const { return counters().sessionErrors[static_cast<size_t>(error)]; }
  uint64_t openConnections() const { return http().openConnections(); }

  // The application. Calls in the order of arrival; `log` has every completion, pieces of one body joined.
  std::vector<std::unique_ptr<Call>> calls;
  std::string log;
  std::function<void(Call&)> onRequest;
  std::function<void(Call&, size_t)> onBody;
  std::function<void(Call&)> onBodyEnd;
  std::function<void(Call&)> onWritable;
  std::function<void(Call&)> onAbort;
  int batches = 0;
  bool serverClosed = false;

  // Submissions.
  void respond(const Call& call, int status, std::string_view body, std::string_view block = "", uint32_t flags = 0,
               std::string_view reason = "") {
    const auto size = records::kHeadBytes + reason.size() + block.size() + body.size();
    uint8_t* record = reserve(records::kRespond, flags, size, call.key);
    putHead(record, status, reason, block);
    storeWord(record, records::kHeadBodyLengthOffset, static_cast<uint32_t>(body.size()));
    put(record + records::kHeadBytes + reason.size() + block.size(), body);
    producer_.commit();
  }
  void start(const Call& call, int status, int64_t contentLength = -1, std::string_view block = "",
             uint32_t flags = 0) {
    if (contentLength >= 0) flags |= records::kHeadKnownLengthFlag;
    uint8_t* record = reserve(records::kStart, flags, records::kHeadBytes + block.size(), call.key);
    putHead(record, status, "", block);
    storeWord(record, records::kHeadBodyLengthOffset, 0);
    storeWord(record, records::kHeadContentLowOffset, static_cast<uint32_t>(contentLength));
    storeWord(record, records::kHeadContentHighOffset,
              static_cast<uint32_t>(static_cast<uint64_t>(contentLength) >> 32));
    producer_.commit();
  }
  void write(const Call& call, std::string_view bytes, bool notify = false) {
    uint8_t* record =
        reserve(records::kWrite, notify ? records::kWriteNotifyFlag : 0, records::kWriteBytes + bytes.size(), call.key);
    storeWord(record, records::kWriteLengthOffset, static_cast<uint32_t>(bytes.size()));
    put(record + records::kWriteBytes, bytes);
    producer_.commit();
  }
  void end(const Call& call, std::string_view trailers = "", bool notify = false) {
    uint8_t* record =
        reserve(records::kEnd, notify ? records::kEndNotifyFlag : 0, records::kEndBytes + trailers.size(), call.key);
    storeWord(record, records::kEndTrailerLengthOffset, static_cast<uint32_t>(trailers.size()));
    put(record + records::kEndBytes, trailers);
    producer_.commit();
  }
  void consume(const Call& call, uint32_t count) {
    storeWord(reserve(records::kConsume, 0, records::kConsumeBytes, call.key), records::kConsumeCountOffset, count);
    producer_.commit();
  }
  void sendContinue(const Call& call) { submitBare(records::kContinue, call); }
  void destroy(const Call& call) { submitBare(records::kDestroy, call); }

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
    return engine.reactor().bytesReceived + engine.reactor().bytesSent + log.size() + c.connectionsAccepted +
           c.connectionsClosed + c.connectionsDropped + c.bytesSent;
  }

  // As SubmissionWriter does: when the ring is full, native code is asked to drain it.
  uint8_t* reserve(uint32_t opcode, uint32_t flags, size_t size, SlabKey key) {
    uint8_t* record = producer_.reserve(opcode, flags, static_cast<uint32_t>(size));
    if (record == nullptr) {
      engine.flush();
      flushes++;
      record = producer_.reserve(opcode, flags, static_cast<uint32_t>(size));
      GAMMALOOP_CHECK(record != nullptr);
    }
    storeWord(record, records::kExchangeIndexOffset, key.index);
    storeWord(record, records::kExchangeGenerationOffset, key.generation);
    return record;
  }
  void submitBare(uint32_t opcode, const Call& call) {
    reserve(opcode, 0, records::kHeaderBytes, call.key);
    producer_.commit();
  }
  static void put(uint8_t* at, std::string_view text) {
    if (!text.empty()) std::memcpy(at, text.data(), text.size());
  }
  static void putHead(uint8_t* record, int status, std::string_view reason, std::string_view block) {
    storeWord(record, records::kHeadStatusOffset,
              static_cast<uint32_t>(status) | static_cast<uint32_t>(reason.size()) << 16);
    storeWord(record, records::kHeadLengthOffset, static_cast<uint32_t>(block.size()));
    put(record + records::kHeadBytes, reason);
    put(record + records::kHeadBytes + reason.size(), block);
  }

  // As NativeLoop.#onBatch: reads on while native code adds, gives the memory back at the end.
  void onBatch() {
    batches++;
    uint32_t head = completions.control[records::kHeadWord];
    while (head != completions.control[records::kTailWord]) {
      const uint8_t* record = completions.bytes() + (head & (completions.capacity - 1));
      head += loadWord(record, records::kSizeOffset);
      const uint32_t word = loadWord(record, records::kOpcodeOffset);
      if ((word & 0xffff) != records::kPad) dispatch(word & 0xffff, word >> 16, record);
    }
    lender.replenish();
    completions.control[records::kHeadWord] = head;
  }

  void dispatch(uint32_t opcode, uint32_t flags, const uint8_t* record);
  static std::string fieldsOf(const uint8_t* text, uint32_t count, uint32_t targetLength);

  RecordProducer producer_{submissions.memory()};
  std::map<std::pair<uint32_t, uint32_t>, Call*> byKey_;
  std::string name_;
  uint16_t port_ = 0;
  const Call* lastBody_ = nullptr;
  static inline int worlds_ = 0;

 public:
  int flushes = 0;
};

inline std::string World::fieldsOf(const uint8_t* text, uint32_t count, uint32_t targetLength) {
  const uint8_t* at = text + count * kHeadIndexEntryBytes + targetLength;
  std::string fields;
  for (const uint8_t* entry = text; count-- > 0; entry += kHeadIndexEntryBytes) {
    const size_t nameLength = static_cast<size_t>(entry[1]) << 8 | entry[2];
    const size_t valueLength = static_cast<size_t>(entry[3]) << 16 | static_cast<size_t>(entry[4]) << 8 | entry[5];
    fields.append(reinterpret_cast<const char*>(at), nameLength).append(": ");
    fields.append(reinterpret_cast<const char*>(at) + nameLength, valueLength).append("\n");
    at += nameLength + valueLength;
  }
  return fields;
}

inline void World::dispatch(uint32_t opcode, uint32_t flags, const uint8_t* record) {
  using namespace records;  // NOLINT
  const SlabKey key{loadWord(record, kExchangeIndexOffset), loadWord(record, kExchangeGenerationOffset)};
  if (opcode == kServerClosed) {
    GAMMALOOP_CHECK(key.index == server && !serverClosed);
    serverClosed = true;
    log += "closed\n";
    return;
  }
  if (opcode == kRequest) {
    const uint32_t count = loadWord(record, kRequestHeaderCountOffset);
    const uint32_t targetLength = loadWord(record, kRequestTargetLengthOffset);
    const uint32_t textLength = loadWord(record, kRequestTextLengthOffset);
    const uint8_t* text = record + kRequestBytes;
    auto call = std::make_unique<Call>();
    call->key = key;
    call->flags = flags;
    call->serial = static_cast<int>(calls.size());
    call->method = std::string(kMethodNames[loadWord(record, kRequestMethodOffset)]);
    call->target.assign(reinterpret_cast<const char*>(text) + count * kHeadIndexEntryBytes, targetLength);
    call->fields = fieldsOf(text, count, targetLength);
    call->body.assign(reinterpret_cast<const char*>(text) + textLength, loadWord(record, kRequestBodyLengthOffset));
    call->bodyEnded = !call->has(kRequestHasBodyFlag) || call->has(kRequestBodyCompleteFlag);
    Call*& place = byKey_[{key.index, key.generation}];
    GAMMALOOP_CHECK(place == nullptr);  // a key is never given twice
    place = call.get();
    calls.push_back(std::move(call));
    log += "request " + place->method + " " + place->target + " " +
           std::to_string(flags & ~(kRequestBodyCompleteFlag | kRequestExpectContinueFlag)) + "\n" + place->fields;
    if (!place->body.empty()) log += "body " + place->body + "\nbody end\n";
    lastBody_ = nullptr;
    if (onRequest) onRequest(*place);
    return;
  }
  const auto found = byKey_.find({key.index, key.generation});
  GAMMALOOP_CHECK(found != byKey_.end());
  Call& call = *found->second;
  GAMMALOOP_CHECK(call.aborted == 0);  // nothing comes after the end
  switch (opcode) {
    case kBody: {
      const std::string_view piece = lender.read(flags, record);
      GAMMALOOP_CHECK(!piece.empty() && !call.bodyEnded);
      const bool joined = lastBody_ == &call && !call.body.empty() && log.ends_with("\n");
      if (joined) log.pop_back();
      log.append(joined ? "" : "body ").append(piece).append("\n");
      call.body += piece;
      lastBody_ = &call;
      if (onBody) onBody(call, piece.size());
      return;
    }
    case kBodyEnd:
      GAMMALOOP_CHECK(!call.bodyEnded);
      call.bodyEnded = true;
      call.trailers = fieldsOf(record + kBodyEndBytes, loadWord(record, kBodyEndHeaderCountOffset), 0);
      log += "body end\n" + call.trailers;
      if (onBodyEnd) onBodyEnd(call);
      break;
    case kAbort:
      if (flags & kAbortSoftFlag) {
        GAMMALOOP_CHECK(!call.softAborted);
        call.softAborted = true;
      } else {
        call.aborted = loadWord(record, kAbortReasonOffset);
      }
      log += "abort " + call.target + " " + std::to_string(loadWord(record, kAbortReasonOffset)) +
             (flags ? " soft\n" : "\n");
      if (onAbort) onAbort(call);
      break;
    case kWritable:
      call.writable++;
      log += "writable " + call.target + "\n";
      if (onWritable) onWritable(call);
      break;
    default:
      GAMMALOOP_CHECK(!"known completion opcode");
  }
  lastBody_ = nullptr;
}

}  // namespace gammaloop::test
