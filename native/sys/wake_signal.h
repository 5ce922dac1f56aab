// WakeSignal: a descriptor that one thread waits on and any thread can make readable. Many raise() calls before the
// waiting thread consumes them cost one system call and make one readiness.
// One file per system: wake_signal_eventfd.cc (Linux), wake_signal_pipe.cc (everywhere else).
// Owns: its descriptors. Owned by: a poller. Thread: raise() from any, the rest from the waiting one.
#pragma once

#include <atomic>

#include "base/result.h"
#include "sys/sockets.h"

namespace gammaloop {

class WakeSignal {
 public:
  Result<void> open();
  int fd() const { return readEnd_.get(); }
  // Never blocks, never fails.
  void raise() noexcept;
  // Call when fd() is readable. What was done before a raise() that this call absorbs is visible after it.
  void consume() noexcept;

 private:
  OwnedFd readEnd_;
  OwnedFd writeEnd_;  // closed where one descriptor has both ends
  std::atomic<bool> isPending_{false};
};

}  // namespace gammaloop
