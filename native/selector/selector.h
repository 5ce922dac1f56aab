// Selector: any descriptors watched by any poller, for the public class of that name (lib/selector). Adds to a poller:
// what is ready comes as descriptor and readiness; a descriptor that was closed behind the selector's back is reported
// once, as kClosed, and forgotten, whichever way the poller's system treats it (silence, an error without end, or
// readiness of an open file that nobody here has a number for any more).
//
// With an error or a hang-up comes what was asked for: who looks for that alone learns the cause by reading or writing.
// Pollers differ in it.
//
// A descriptor that was closed is noticed by the errors that it brings, after kReportsPerCheck reports, or by a look at
// all of them every kSweepMs, which therefore is the longest that a wait blocks in one piece.
//
// Owns: the poller. Thread: one, but for wake().
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "sys/file_identity.h"
#include "sys/poller.h"

namespace gammaloop {

// As JavaScript has it, in shared memory.
struct ReadyDescriptor {
  uint32_t fd;
  uint32_t readiness;  // Readiness, or Selector::kClosed
};

class Selector {
 public:
  using MakePoller = Result<std::unique_ptr<Poller>> (*)();

  static constexpr uint32_t kClosed = 16;
  static constexpr uint64_t kSweepMs = 1000;
  static constexpr uint32_t kReportsPerCheck = 1024;

  static Result<std::unique_ptr<Selector>> open(MakePoller makePoller);
  ~Selector();
  Selector(const Selector&) = delete;
  Selector& operator=(const Selector&) = delete;

  // EEXIST: it is watched. EPERM: it has no readiness (regular files). EBADF: it is not open.
  Result<void> add(int fd, Interest interest);
  // ENOENT: it is not watched. EBADF: it was closed since.
  Result<void> modify(int fd, Interest interest);
  // ENOENT: it is not watched. One that was closed since is forgotten like any other.
  Result<void> remove(int fd);

  // Waits until something is ready, wake() is called, a signal arrives, or the time is over; timeoutMs as for
  // Poller::wait. Returns the number of places filled.
  Result<size_t> wait(std::span<ReadyDescriptor> ready, int timeoutMs);
  // Whether the last wait took a wake-up.
  bool wasWoken() const { return wasWoken_; }

  // Any thread: makes the current or the next wait return.
  void wake() noexcept;
  // The same by number, from threads that cannot know whether it still lives. False: it does not.
  static bool wake(uint32_t id) noexcept;
  uint32_t id() const { return id_; }

  // Another one after some waits: only a new poller forgets what nobody can remove from the old one.
  Poller& poller() { return *poller_; }

 private:
  struct Entry {
    FileIdentity identity;
    uint32_t reports = 0;
    Interest interest = Interest::None;
    bool isWatched = false;
  };

  explicit Selector(MakePoller makePoller);
  Entry* find(int fd);
  bool isIntact(int fd, const Entry& entry);
  void sweep();
  size_t collect(std::span<const ReadyEvent> events, std::span<ReadyDescriptor> ready);
  size_t takeLost(std::span<ReadyDescriptor> ready);
  void forget(int fd, Entry& entry, bool isIntact);
  Result<void> rebuild();

  MakePoller makePoller_;
  std::mutex mutex_;  // poller_ against wake()
  std::unique_ptr<Poller> poller_;
  std::vector<Entry> entries_;  // by descriptor
  std::vector<int> lost_;       // closed behind our back, to be reported
  std::vector<ReadyEvent> events_;
  uint64_t nextSweepMs_ = 0;
  uint32_t id_ = 0;
  std::atomic<bool> isWoken_{false};
  bool wasWoken_ = false;
  bool isPollerStale_ = false;  // it may watch something that nobody can remove
};

}  // namespace gammaloop
