#include "engine/engine.h"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "http/wire_session.h"

namespace gammaloop {

using namespace records;  // NOLINT: the border's names

namespace {
constexpr size_t kMaxWholeMessageBytes = 64 * 1024;
}  // namespace

Engine::Engine(std::unique_ptr<Poller> poller, RingMemory completions, RingMemory submissions, Doorbell doorbell,
               Reactor::Clock clock)
    : completionMemory_(completions),
      submissionMemory_(submissions),
      submissions_(submissions),
      completions_(completions, lentBuffers_),
      http_{completions_, completions_, completions_, {}, {}, {}},
      ws_{completions_, completions_, {}, std::min<size_t>(kMaxWholeMessageBytes, completions.capacity / 4),
          {},           {},           {}},
      doorbell_(std::move(doorbell)),
      reactor_(std::move(poller), *this, clock) {}

Engine::~Engine() {
  for (const std::unique_ptr<Server>& server : servers_) {
    if (server != nullptr) stopListening(*server);
  }
  reactor_.shutdown();
}

// Servers.

uint32_t Engine::openServer(const HttpLimits& limits, const HttpTimeouts& timeouts, ServerKind kind) {
  auto server = std::make_unique<Server>(*this, kind);
  const auto free = std::find(servers_.begin(), servers_.end(), nullptr);
  const auto index = static_cast<uint32_t>(free - servers_.begin());
  server->http.index = index;
  if (free == servers_.end()) {
    servers_.push_back(std::move(server));
  } else {
    *free = std::move(server);
  }
  configure(index, limits, timeouts);
  return index;
}

void Engine::configure(uint32_t index, const HttpLimits& limits, const HttpTimeouts& timeouts) {
  servers_[index]->http.limits = limits;
  servers_[index]->http.timeouts = timeouts;
  if (http_.fields.size() < limits.head.headerCount) http_.fields.resize(limits.head.headerCount);
}

Result<void> Engine::listenOn(uint32_t index, const ListenTarget& target) {
  Server& server = *servers_[index];
  if (server.listening) return SysError{"listen", EALREADY};
  Result<OwnedFd> bound =
      target.fd >= 0 ? (target.bound ? listenOnBound(target.fd, target.options.backlog) : adoptListener(target.fd))
      : !target.path.empty() ? listenUnix(target.path, target.options)
                             : listenTcp(target.address, target.port, target.options);
  if (!bound) return bound.error();
  const int fd = bound.value().get();
  server.ownsUnixPath = !target.path.empty();
  server.unixPath = server.ownsUnixPath ? target.path : localUnixPath(fd);
  const Result<SlabKey> listener = reactor_.addListener(std::move(bound.value()), server);
  if (!listener) {
    if (server.ownsUnixPath) unlinkUnix(server.unixPath);
    return listener.error();
  }
  server.listener = listener.value();
  server.listening = true;
  updateDriver();
  return {};
}

Result<uint32_t> Engine::listen(const ListenTarget& target, const HttpLimits& limits, const HttpTimeouts& timeouts,
                                ServerKind kind) {
  const uint32_t index = openServer(limits, timeouts, kind);
  if (const Result<void> listening = listenOn(index, target); !listening) {
    servers_[index] = nullptr;
    return listening.error();
  }
  return index;
}

Result<Endpoint> Engine::address(uint32_t server) {
  Listener* listener = reactor_.listener(servers_[server]->listener);
  if (listener == nullptr) return SysError{"getsockname", 0};
  return localEndpoint(listener->fd());
}

void Engine::setReferenced(uint32_t server, bool referenced) {
  servers_[server]->referenced = referenced;
  updateDriver();
}

void Engine::close(uint32_t index) {
  Server& server = *servers_[index];
  stopListening(server);
  server.http.closing = true;
  someClosing_ = true;
  closeIdle(index);
}

void Engine::closeIdle(uint32_t index) {
  Server& server = *servers_[index];
  reactor_.updateNow();
  IntrusiveList<ServedSession, ServerTag> sessions;
  sessions.takeAll(server.http.sessions);
  while (ServedSession* session = sessions.popFront()) {
    server.http.sessions.pushBack(*session);
    Session* above = session->connection().session();
    above == session || session->isWire() ? session->closeIfIdle() : above->onServerClosing();
  }
  // Outside of a turn: let one come, to flush, to report and to hand over what the last look has found.
  reactor_.poller().wake();
}

CutReport Engine::cut(uint32_t index) {
  Server& server = *servers_[index];
  CutReport report;
  while (ServedSession* session = server.http.sessions.front()) {  // cutting takes it from the list
    const bool upgraded = session->connection().session() != session;
    const uint32_t exchanges = session->cut();
    report.exchanges += exchanges;
    if (exchanges != 0 || upgraded) report.connections++;
  }
  reactor_.poller().wake();
  return report;
}

void Engine::forget(uint32_t index) {
  stopListening(*servers_[index]);
  if (servers_[index]->http.openConnections() != 0) cut(index);  // nobody would hear of them
  servers_[index] = nullptr;
  updateDriver();
}

void Engine::stopListening(uint32_t index) {
  stopListening(*servers_[index]);
  updateDriver();
}

void Engine::stopListening(Server& server) {
  if (!server.listening) return;
  server.listening = false;
  reactor_.removeListener(server.listener);
  if (server.ownsUnixPath) unlinkUnix(server.unixPath);
}

bool Engine::Server::admits() {
  if (http.limits.connections == 0 || http.openConnections() < http.limits.connections) return true;
  http.counters.connectionsDropped++;
  return false;
}

std::unique_ptr<Session> Engine::Server::makeSession(Connection& connection) {
  if (kind == ServerKind::Http) return std::make_unique<Http1Session>(connection, http, engine.http_);
  return std::make_unique<WireSession>(connection, http, engine.http_, kind == ServerKind::Raw);
}

// Turns.

Result<void> Engine::turn() {
  http_.date.update(std::time(nullptr));
  Result<size_t> ready = reactor_.runOnce(0);
  for (int looks = 0; ready && looks_.wanted(ready.value(), looks, reactor_.nowMs()); looks++) {
    ready = reactor_.runOnce(0);
  }
  updateDriver();
  if (!ready) return ready.error();
  return {};
}

void Engine::settleIfNeeded() {
  const bool told = !completionMemory_.empty() || completions_.hasWaiting();  // outside of a turn
  if (!told && submissionMemory_.empty() && !reactor_.hasUnflushed()) return;
  http_.date.update(std::time(nullptr));
  reactor_.settle();
  updateDriver();
}

void Engine::flush() {
  reactor_.flushSubmissions();
  updateDriver();
}

bool Engine::ringDoorbell() {
  lentBuffers_.onTurn();
  completions_.replenish();
  if (someClosing_) reportClosed();
  if (completionMemory_.empty()) return false;
  const uint32_t head = completionMemory_.word(kHeadWord).load(std::memory_order_relaxed);
  ringing_ = true;
  {
    const PhaseScope dispatching(reactor_.phases(), Phase::Dispatch);
    doorbell_();
  }
  ringing_ = false;
  const bool progressed = completionMemory_.word(kHeadWord).load(std::memory_order_relaxed) != head;
  if (completionMemory_.empty()) completionMemory_.rewind();
  return progressed;
}

void Engine::reportClosed() {
  someClosing_ = false;
  for (const std::unique_ptr<Server>& server : servers_) {
    if (server == nullptr || !server->http.closing || server->closedReported) continue;
    if (server->http.openConnections() != 0) {
      someClosing_ = true;
      continue;
    }
    server->closedReported = true;
    completions_.serverClosed(server->http.index);
  }
}

void Engine::drainSubmissions() {
  while (const uint8_t* record = submissions_.next()) carryOut(record);
  if (!ringing_ && completionMemory_.empty() && !completions_.hasWaiting()) ws_.endThose();
}

void Engine::onFlushed() {
  submissions_.release();
  if (!submissionMemory_.empty()) return;
  submissionMemory_.rewind();
  submissions_.rewind();
}

void Engine::carryOut(const uint8_t* record) {
  const uint32_t opcode = loadWord(record, kOpcodeOffset) & 0xffff;
  const uint32_t flags = loadWord(record, kOpcodeOffset) >> 16;
  if (opcode >= kWsAccept) return carryOutWebSocket(record, opcode, flags);
  if (opcode >= kWireWrite) return carryOutWire(record, opcode, flags);
  // An exchange that is over has no taker for what comes late.
  Exchange* found =
      http_.exchanges.get({loadWord(record, kExchangeIndexOffset), loadWord(record, kExchangeGenerationOffset)});
  if (found == nullptr) return;
  Exchange& exchange = *found;
  Http1Session& session = exchange.session;
  switch (opcode) {
    case kRespond:
    case kStart:
      return carryOutHead(exchange, record, opcode, flags);
    case kWrite:
      return session.write(exchange, {record + kWriteBytes, loadWord(record, kWriteLengthOffset)},
                           flags & kWriteNotifyFlag);
    case kEnd: {
      const auto* trailers = reinterpret_cast<const char*>(record + kEndBytes);
      return session.end(exchange, {trailers, loadWord(record, kEndTrailerLengthOffset)}, flags & kEndNotifyFlag);
    }
    case kConsume:
      return session.consume(exchange, loadWord(record, kConsumeCountOffset));
    case records::kContinue:
      return session.sendContinue(exchange);
    case kDestroy:
      return session.destroyExchange(exchange);
    default:
      GAMMALOOP_CHECK(!"known submission opcode");
  }
}

void Engine::carryOutHead(Exchange& exchange, const uint8_t* record, uint32_t opcode, uint32_t flags) {
  const uint32_t status = loadWord(record, kHeadStatusOffset);
  const uint32_t reasonBytes = status >> 16;
  const uint32_t fieldBytes = loadWord(record, kHeadLengthOffset);
  const auto* text = reinterpret_cast<const char*>(record + kHeadBytes);
  ResponseHead head;
  head.status = static_cast<uint16_t>(status & 0xffff);
  head.reason = {text, reasonBytes};
  head.fields = {text + reasonBytes, fieldBytes};
  head.withDate = !(flags & kHeadHasDateFlag);
  const bool close = flags & kHeadCloseFlag;
  const bool hasConnectionField = flags & kHeadHasConnectionFlag;
  if (opcode == kRespond) {
    const uint8_t* body = record + kHeadBytes + reasonBytes + fieldBytes;
    return exchange.session.respond(exchange, head, close, hasConnectionField,
                                    {body, loadWord(record, kHeadBodyLengthOffset)});
  }
  std::optional<uint64_t> length;
  if (flags & kHeadKnownLengthFlag) {
    length = uint64_t{loadWord(record, kHeadContentHighOffset)} << 32 | loadWord(record, kHeadContentLowOffset);
  }
  exchange.session.start(exchange, head, close, hasConnectionField, length);
}

// Whether the process stays alive on our account, as node has it: open connections, and listening servers that were not
// unref'd.
void Engine::updateDriver() {
  if (driver_ == nullptr) return;
  const bool listening = std::any_of(servers_.begin(), servers_.end(), [](const std::unique_ptr<Server>& server) {
    return server != nullptr &&
           ((server->listening && server->referenced) || (server->http.closing && !server->closedReported));
  });
  driver_->setReferenced(listening || reactor_.holdingCount() != 0);
  driver_->wakeIn(reactor_.nextTimerDelayMs());
}

}  // namespace gammaloop
