#include "reactor/reactor.h"

#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "reactor/socket_transport.h"

namespace gammaloop {

Reactor::Reactor(std::unique_ptr<Poller> poller, ReactorDelegate& delegate, Clock clock)
    : poller_(std::move(poller)),
      delegate_(delegate),
      clock_(clock),
      nowMs_(clock()),
      timers_(nowMs_),
      readBuffer_(new uint8_t[kReadBufferBytes]),
      events_(kEventsPerTurn) {
  if (Result<OwnedFd> reserve = openReserveFd()) reserveFd_ = std::move(reserve.value());
}

Reactor::~Reactor() { shutdown(); }

// The turn.

Result<size_t> Reactor::runOnce(int timeoutMs) {
  GAMMALOOP_CHECK(!inTurn_);
  phases_.countTurn();
  const PhaseScope turn(phases_, Phase::Poll);
  const Result<size_t> ready = poller_->wait(events_, timeoutMs);
  if (!ready) return ready;
  updateNow();
  inTurn_ = true;
  phases_.enter(Phase::Read);
  dispatchReadiness({events_.data(), ready.value()});
  phases_.enter(Phase::Timers);
  expireTimers();
  runRounds();
  inTurn_ = false;
  return ready;
}

void Reactor::settle() {
  if (inTurn_) return;
  updateNow();
  inTurn_ = true;
  runRounds();
  inTurn_ = false;
}

// Carrying out answers may bring new completions (a pipelined request that had to wait): a bounded number of rounds,
// then other work of the loop gets its chance first. What was submitted outside of a turn goes first, so that its
// completions, too, are handed over now: nothing may be left behind a doorbell that does not ring.
void Reactor::runRounds() {
  const PhaseScope writing(phases_, Phase::Write);
  flushSubmissions();
  for (int round = 0; delegate_.ringDoorbell(); round++) {
    flushSubmissions();
    if (round == kMaxRoundsPerTurn) {
      poller_->wake();
      break;
    }
  }
}

void Reactor::flushSubmissions() {
  const PhaseScope writing(phases_, Phase::Write);
  delegate_.drainSubmissions();
  flushWrites();
  delegate_.onFlushed();
  arena_.reset();
  segmentArena_.reset();
  sharedFrames_.clear();
  reapClosed();
}

void Reactor::dispatchReadiness(std::span<const ReadyEvent> events) {
  for (const ReadyEvent& event : events) {
    const SlabKey key{static_cast<uint32_t>(event.token & ~kListenerBit), static_cast<uint32_t>(event.token >> 32)};
    if (event.token & kListenerBit) {
      if (Listener* listener = listeners_.get(key)) listener->onReady();
    } else if (Connection* connection = connections_.get(key)) {
      connection->onReady(event.readiness);
      readOn(key);
    }
  }
}

// A large body is read on while there is more of it: what is done sooner holds its memory for a shorter time. The
// application takes what has piled up while it is still in the cache.
void Reactor::readOn(SlabKey key) {
  for (size_t reads = 0; reads < kBulkReadsPerEvent; reads++) {
    if (delegate_.lentBuffers().wantTurn()) runRounds();
    Connection* connection = connections_.get(key);
    if (connection == nullptr || !connection->mayReadOn()) return;
    connection->readOnce();
  }
}

void Reactor::expireTimers() { timers_.advance(nowMs_); }

void Reactor::flushWrites() {
  IntrusiveList<Connection, DirtyTag> dirty;
  dirty.takeAll(dirty_);
  while (Connection* connection = dirty.popFront()) connection->flush();
  // A session that was told of its drained queue may have written again: those leave with the same memory, before it is
  // reset.
  while (Connection* connection = dirty_.popFront()) connection->flush();
}

void Reactor::reapClosed() {
  while (Connection* connection = closed_.popFront()) connections_.destroy(connection->key());
}

std::span<uint8_t> Reactor::readBuffer(size_t bulkBytes) {
  if (bulkBytes >= LentBuffers::kMinPieceBytes) {
    const std::span<uint8_t> lent = delegate_.lentBuffers().next();
    if (!lent.empty()) return lent.first(std::min(lent.size(), bulkBytes));
  }
  return {readBuffer_.get(), kReadBufferBytes};
}

// Descriptors.

Result<SlabKey> Reactor::addListener(OwnedFd fd, ListenerOwner& owner) {
  Listener* listener = listeners_.create(*this, owner, std::move(fd));
  listener->onExpired = [](TimerNode& node, uint64_t) { static_cast<Listener&>(node).expire(); };
  const SlabKey key = listener->key();
  if (Result<void> added = poller_->add(listener->fd(), Interest::Read, listenerToken(key)); !added) {
    listeners_.destroy(key);
    return added.error();
  }
  return key;
}

void Reactor::removeListener(SlabKey key) {
  Listener* listener = listeners_.get(key);
  if (listener == nullptr) return;
  (void)poller_->remove(listener->fd()).ok();  // the descriptor is closed next, whatever the poller says
  listeners_.destroy(key);
}

Connection* Reactor::adopt(OwnedFd fd, const Endpoint& peer, ListenerOwner& owner) {
  // Without TCP_NODELAY an answer in two pieces waits for the client's delayed ACK. A socket that refuses is already
  // dead.
  if (peer.family != Endpoint::Family::Unix) (void)setNoDelay(fd.get(), true).ok();
  Connection* connection = adopt(std::make_unique<SocketTransport>(*poller_, std::move(fd)), peer, owner);
  if (connection != nullptr) connection->setHolding(true);
  return connection;
}

Connection* Reactor::adopt(std::unique_ptr<Transport> transport, const Endpoint& peer, ListenerOwner& owner) {
  Connection* connection = connections_.create(*this, std::move(transport), peer);
  connection->onExpired = [](TimerNode& node, uint64_t nowMs) { static_cast<Connection&>(node).expire(nowMs); };
  if (!connection->open()) {
    connections_.destroy(connection->key());
    return nullptr;
  }
  connection->start(owner.makeSession(*connection));
  return connection;
}

void Reactor::shutdown() {
  connections_.forEach([](Connection& connection) { connection.destroy(CloseReason::Local, false); });
  reapClosed();
  listeners_.forEach([this](Listener& listener) { removeListener(listener.key()); });
}

// Time.

uint64_t Reactor::steadyClockMs() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

int64_t Reactor::nextTimerDelayMs() {
  const std::optional<uint64_t> wake = timers_.nextWakeMs();
  if (!wake) return -1;
  return *wake > nowMs_ ? static_cast<int64_t>(*wake - nowMs_) : 0;
}

}  // namespace gammaloop
