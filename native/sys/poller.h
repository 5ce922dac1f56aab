// Poller: readiness of many descriptors behind one contract. One file per backend (epoll.cc, kqueue.cc, poll.cc,
// uv.cc), the same duties in each:
//
//   add / modify / remove   change what is watched; an error is returned, never swallowed
//   wait                    fill a span with ready events
//   wake                    make the current or the next wait return, from any thread
//   backendFd               a descriptor that turns readable when wait would return something, or -1
//
// Guaranteed: level-triggered; at most one event a descriptor in one wait (readiness merged); a token comes back as it
// was given; any number of wake() calls before a wait cause one return; wait returns 0 events on a wake-up, a timeout
// or EINTR. Hint: Hangup and Error may come with Readable/Writable set, so that the next read or write reports the
// cause. Unspecified: the order of events; which events are left for the next wait when the span is full; whether an
// event that was already collected is still delivered after remove() of its descriptor in the same batch (callers check
// generations).
//
// Thread: everything but wake() belongs to the thread that calls wait().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"

struct uv_loop_s;

namespace gammaloop {

using Token = uint64_t;

enum class Interest : uint8_t { None = 0, Read = 1, Write = 2, ReadWrite = 3 };

// Bit set.
struct Readiness {
  static constexpr uint8_t kReadable = 1;
  static constexpr uint8_t kWritable = 2;
  static constexpr uint8_t kError = 4;
  static constexpr uint8_t kHangup = 8;
};

struct ReadyEvent {
  Token token = 0;
  uint8_t readiness = 0;
};

class Poller {
 public:
  virtual ~Poller() = default;

  virtual const char* name() const = 0;
  // EEXIST when the descriptor is watched already; EPERM for descriptors that have no readiness (regular files).
  virtual Result<void> add(int fd, Interest interest, Token token) = 0;
  // ENOENT when the descriptor is not watched. Interest::None keeps it registered but silent (errors and hang-ups
  // apart).
  virtual Result<void> modify(int fd, Interest interest, Token token) = 0;
  // ENOENT when the descriptor is not watched. Call it before closing the descriptor.
  virtual Result<void> remove(int fd) = 0;
  // timeoutMs: -1 waits without end, 0 does not wait. Returns the number of events written to `events`.
  virtual Result<size_t> wait(std::span<ReadyEvent> events, int timeoutMs) = 0;
  // Any thread. Never blocks, never fails.
  virtual void wake() noexcept = 0;
  virtual int backendFd() const { return -1; }
  // Whether the system still watches what `fd` stood for when it was added (with the interest and token that it has).
  // True where that cannot be told.
  virtual bool isIntact(int fd, Interest interest, Token token);
};

inline bool Poller::isIntact(int, Interest, Token) { return true; }

// Each returns ENOSYS where the backend does not exist on this platform.
Result<std::unique_ptr<Poller>> makeEpollPoller();
Result<std::unique_ptr<Poller>> makeKqueuePoller();
Result<std::unique_ptr<Poller>> makePollPoller();
// Watches on `loop` (which stays the caller's, and is run by its owner: wait(events, 0) hands over what its callbacks
// collected; with another timeout wait runs the loop itself). Thread: the loop's.
Result<std::unique_ptr<Poller>> makeUvPoller(uv_loop_s* loop);
// The same on a loop that it owns and runs in wait().
Result<std::unique_ptr<Poller>> makeOwnLoopUvPoller();

}  // namespace gammaloop
