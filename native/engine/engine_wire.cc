// The half of Engine that deals with wire sessions: what they are told, and connections that come from elsewhere.
#include <cerrno>

#include "engine/engine.h"
#include "http/fed_transport.h"
#include "http/wire_session.h"

namespace gammaloop {

using namespace records;  // NOLINT: the border's names

void Engine::carryOutWire(const uint8_t* record, uint32_t opcode, uint32_t flags) {
  // A connection that is over has no taker for what comes late.
  Connection* found = connection({loadWord(record, kExchangeIndexOffset), loadWord(record, kExchangeGenerationOffset)});
  if (found == nullptr) return;
  Session* below = found->session();
  if (below->isWebSocket()) {  // what a program may still do to the socket under one
    if (opcode == kWireTap) return static_cast<WsSession*>(below)->tap();
    if (opcode != kWireWrite && opcode != kWireShutdown && opcode != kWireDestroy) return;
    below = &static_cast<WsSession*>(below)->below();
    if (opcode == kWireWrite) flags = 0;  // the end, and when what was written has left, are the WebSocket's
  }
  if (!static_cast<ServedSession*>(below)->isWire()) return;
  auto& session = *static_cast<WireSession*>(below);
  switch (opcode) {
    case kWireWrite:
      return session.write({record + kWriteBytes, loadWord(record, kWriteLengthOffset)}, flags);
    case kWireConsume:
      return session.consume(loadWord(record, kConsumeCountOffset));
    case kWireProceed:
      return session.proceedWith(flags & kWireProceedUpgradeFlag, flags & kWireProceedBodyFlag);
    case kWireShutdown:
      return session.shutdown();
    case kWireDestroy:
      return session.destroy(flags & kWireDestroyResetFlag);
    case kWireReading:
      return session.setReading(flags & kWireReadingOnFlag, flags & kWireReadingByHandFlag);
    case kWireInactivity:
      return session.setInactivity(loadWord(record, kConsumeCountOffset));
    case kWireSent:
      return found->onFedSent(loadWord(record, kConsumeCountOffset));
    case kWireTap:
      return session.tap();
    default:
      GAMMALOOP_CHECK(!"known submission opcode");
  }
}

Connection* Engine::connection(SlabKey key) {
  Connection* found = reactor_.connection(key);
  if (found == nullptr || found->state() == ConnectionState::Closed) return nullptr;
  if (found->session()->isWebSocket()) return found;
  auto* session = static_cast<RequestReader*>(found->session());
  return session->isWire() && static_cast<WireSession*>(session)->isOver() ? nullptr : found;
}

// From elsewhere. All of this comes outside of a turn: what it causes is handed over by the next settle.

Result<SlabKey> Engine::adopt(uint32_t index, int fd) {
  Result<Accepted> accepted = adoptConnection(fd);
  if (!accepted) return accepted.error();
  Server& server = *servers_[index];
  if (!server.admits()) return SysError{"accept", ECONNABORTED};
  reactor_.updateNow();
  Connection* connection = reactor_.adopt(std::move(accepted.value().fd), accepted.value().peer, server);
  if (connection == nullptr) return SysError{"accept", ECONNABORTED};
  updateDriver();
  return connection->key();
}

Result<SlabKey> Engine::connect(uint32_t index, const ConnectOptions& options, const std::string& path) {
  Result<OwnedFd> fd = path.empty() ? connectTcp(options) : connectUnix(path);
  if (!fd) return fd.error();
  Endpoint peer;
  if (!path.empty()) peer.family = Endpoint::Family::Unix;
  reactor_.updateNow();
  Connection* connection = reactor_.adopt(std::move(fd.value()), peer, *servers_[index]);
  if (connection == nullptr) return SysError{"connect", ECONNABORTED};
  connection->awaitConnect();
  updateDriver();
  return connection->key();
}

SlabKey Engine::openFed(uint32_t index) {
  reactor_.updateNow();
  // Its transport keeps the process alive, or not, by itself.
  Connection* connection = reactor_.adopt(std::make_unique<FedTransport>(completions_), {}, *servers_[index]);
  updateDriver();
  return connection->key();
}

Connection* Engine::fedConnection(SlabKey key) {
  Connection* found = connection(key);
  return found == nullptr || found->fd() >= 0 ? nullptr : found;
}

void Engine::feed(SlabKey key, std::span<const uint8_t> bytes) {
  const PhaseScope reading(reactor_.phases(), Phase::Read);
  reactor_.updateNow();
  // One with a socket too: a program may push bytes by hand.
  if (Connection* found = connection(key)) found->onFed(bytes);
  updateDriver();
}

void Engine::feedEnd(SlabKey key) {
  reactor_.updateNow();
  if (Connection* found = fedConnection(key)) found->onFedEnd();
  updateDriver();
}

void Engine::feedClosed(SlabKey key, int error) {
  reactor_.updateNow();
  if (Connection* found = fedConnection(key)) found->onFedClosed(error);
  updateDriver();
}

bool Engine::isReceiving(SlabKey key) {
  reactor_.updateNow();
  Connection* found = connection(key);
  const bool isHttp = found != nullptr && !found->session()->isWebSocket();
  const bool receiving = isHttp && static_cast<WireSession*>(found->session())->isReceiving();
  updateDriver();
  return receiving;
}

Result<int> Engine::release(SlabKey key, std::vector<uint8_t>& input) {
  WireSession* session = wireSession(key);
  if (session == nullptr) return SysError{"dup", EBADF};
  Result<int> copy = duplicateFd(session->connection().fd());
  if (copy) input = session->handOver();
  return copy;
}

WireSession* Engine::wireSession(SlabKey key) {
  Connection* found = connection(key);
  if (found == nullptr || found->fd() < 0 || found->session()->isWebSocket()) return nullptr;
  auto* session = static_cast<ServedSession*>(found->session());
  return session->isWire() ? static_cast<WireSession*>(session) : nullptr;
}

size_t Engine::sendNow(SlabKey key, uint32_t position, std::span<const uint8_t> bytes) {
  WireSession* session = wireSession(key);
  if (session == nullptr || session->connection().sentBytes() != position) return 0;
  reactor_.updateNow();
  const PhaseScope writing(reactor_.phases(), Phase::Write);
  const size_t sent = session->sendNow(bytes);
  if (sent == 0) updateDriver();
  return sent;
}

size_t Engine::receive(SlabKey key, std::span<uint8_t> into) {
  WireSession* session = wireSession(key);
  if (session == nullptr) return 0;
  const PhaseScope reading(reactor_.phases(), Phase::Read);
  const size_t count = session->receive(into);
  if (count == 0) updateDriver();
  return count;
}

void Engine::setConnectionReferenced(SlabKey key, bool referenced) {
  Connection* found = connection(key);
  if (found == nullptr || found->fd() < 0) return;
  found->setHolding(referenced);
  updateDriver();
}

}  // namespace gammaloop
