// Reactor: the loop as named phases. One turn (runOnce):
//
//   waitForEvents        ask the poller, without blocking unless told to
//   dispatchReadiness    accept, read and parse: completions pile up; early rounds where large bodies do
//   expireTimers         deadlines that have passed
//   ringDoorbell         hand the completions over (inline: JavaScript runs now, and answers)
//   drainSubmissions     carry out what was answered
//   flushWrites          one system call a connection that has something to send
//   reapClosed           free what was closed in this turn
//
// The delegate (engine) supplies ringDoorbell and drainSubmissions. Owns the poller, the connections, the listeners,
// the timer wheel and the batch's memory. Owned by the engine. Thread: the one that its driver uses.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "base/arena.h"
#include "base/intrusive_list.h"
#include "reactor/connection.h"
#include "reactor/listener.h"
#include "reactor/phase_clock.h"
#include "reactor/slab.h"
#include "reactor/timer_wheel.h"
#include "ring/lent_buffers.h"
#include "sys/poller.h"

namespace gammaloop {

class ReactorDelegate {
 public:
  virtual ~ReactorDelegate() = default;
  // Hands completions over; returns whether there were any.
  virtual bool ringDoorbell() = 0;
  // Carries out submissions.
  virtual void drainSubmissions() = 0;
  // Everything that was submitted has been sent or copied: its memory may be reused.
  virtual void onFlushed() = 0;
  // Memory for the bytes of large bodies.
  virtual LentBuffers& lentBuffers() = 0;
};

class Reactor {
 public:
  static constexpr size_t kReadBufferBytes = 64 * 1024;
  // How many descriptors one batch may come from. More save little (a turn costs about as much as a tenth of a request)
  // and make the first request of a batch wait for the last: at 64 busy connections p99 is a fifth lower than without a
  // bound.
  static constexpr size_t kEventsPerTurn = 32;
  static constexpr int kMaxRoundsPerTurn = 8;
  static constexpr size_t kBulkReadsPerEvent = 16;

  // Monotonic milliseconds; read once a turn. Tests give one of their own.
  using Clock = uint64_t (*)();
  static uint64_t steadyClockMs();

  Reactor(std::unique_ptr<Poller> poller, ReactorDelegate& delegate, Clock clock = steadyClockMs);
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  // One turn. timeoutMs as for Poller::wait. Returns how many descriptors were ready.
  Result<size_t> runOnce(int timeoutMs);
  // The later half of a turn, on its own: answers that were submitted outside of one (by timers, immediates, other I/O)
  // leave.
  void settle();
  // drainSubmissions, flushWrites, reapClosed: also from within JavaScript, when the submission ring is full.
  void flushSubmissions();
  // Something was written or closed outside of a turn.
  bool hasUnflushed() const { return !dirty_.empty() || !closed_.empty(); }

  // Starts listening on a descriptor that is bound and listening.
  Result<SlabKey> addListener(OwnedFd fd, ListenerOwner& owner);
  void removeListener(SlabKey key);
  Listener* listener(SlabKey key) { return listeners_.get(key); }
  // Null when the poller refuses the descriptor; it is closed then.
  Connection* adopt(OwnedFd fd, const Endpoint& peer, ListenerOwner& owner);
  Connection* adopt(std::unique_ptr<Transport> transport, const Endpoint& peer, ListenerOwner& owner);
  Connection* connection(SlabKey key) { return connections_.get(key); }
  uint32_t connectionCount() const { return connections_.liveCount(); }
  // Connections that keep the process alive.
  uint32_t holdingCount() const { return holdingCount_; }
  void countHolding(bool holding) { holding ? holdingCount_++ : holdingCount_--; }
  // Closes every connection and listener at once, and frees them.
  void shutdown();

  Poller& poller() { return *poller_; }
  uint64_t nowMs() const { return nowMs_; }
  // Not within a turn, which has read it.
  void updateNow() {
    if (!inTurn_) nowMs_ = clock_();
  }
  // When the next turn is wanted on account of timers: a delay in ms, or -1.
  int64_t nextTimerDelayMs();
  uint64_t bytesReceived = 0;
  uint64_t bytesSent = 0;
  PhaseClock& phases() { return phases_; }

  // For connections and listeners.
  Arena& arena() { return arena_; }
  Arena& segmentArena() { return segmentArena_; }  // apart, so that what one connection writes stays contiguous
  // `bytes` stand in the arena, and the frame stands as long.
  SharedFrame& share(std::span<const uint8_t> bytes) { return sharedFrames_.emplace_back(SharedFrame{bytes}); }
  TimerWheel& timers() { return timers_; }
  // Where the next read lands; `bulkBytes`: see Session.
  std::span<uint8_t> readBuffer(size_t bulkBytes);
  OwnedFd& reserveFd() { return reserveFd_; }
  void markDirty(Connection& connection) { dirty_.pushBack(connection); }
  void markClosed(Connection& connection) { closed_.pushBack(connection); }
  static Token connectionToken(SlabKey key) { return static_cast<Token>(key.generation) << 32 | key.index; }
  static Token listenerToken(SlabKey key) { return connectionToken(key) | kListenerBit; }

 private:
  static constexpr Token kListenerBit = 1u << 31;

  void runRounds();
  void dispatchReadiness(std::span<const ReadyEvent> events);
  void readOn(SlabKey key);
  void expireTimers();
  void flushWrites();
  void reapClosed();

  std::unique_ptr<Poller> poller_;
  ReactorDelegate& delegate_;
  Clock clock_;
  uint64_t nowMs_ = 0;
  PhaseClock phases_;
  TimerWheel timers_;
  Arena arena_;
  Arena segmentArena_;
  std::deque<SharedFrame> sharedFrames_;
  Slab<Connection> connections_;
  Slab<Listener> listeners_;
  IntrusiveList<Connection, DirtyTag> dirty_;
  IntrusiveList<Connection, ClosedTag> closed_;
  std::unique_ptr<uint8_t[]> readBuffer_;
  std::vector<ReadyEvent> events_;
  OwnedFd reserveFd_;
  uint32_t holdingCount_ = 0;
  bool inTurn_ = false;
};

}  // namespace gammaloop
