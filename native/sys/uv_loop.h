// UvLoopHooks: what an engine needs of Node's own loop, with uv.h kept out of sight: one watched descriptor, a hook
// before the loop blocks, one after, and a timer. All but the watch are unreferenced: only the watch keeps a process
// alive, and only while it is referenced. Owned by the inline driver. Thread: the loop's. The handles outlive the
// object until libuv has closed them.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"

struct uv_loop_s;

namespace gammaloop {

class UvLoopHooks {
 public:
  struct Callbacks {
    std::function<void()> readable;  // the descriptor can be read (level-triggered)
    std::function<void()> prepare;   // before the loop blocks
    std::function<void()> check;     // after it has polled
    std::function<void()> timer;     // the one-shot timer
  };

  UvLoopHooks() = default;
  UvLoopHooks(const UvLoopHooks&) = delete;
  UvLoopHooks& operator=(const UvLoopHooks&) = delete;
  ~UvLoopHooks() { close({}); }

  // `fd` -1: nothing is watched; setReferenced then holds the loop by other means.
  Result<void> open(uv_loop_s* loop, int fd, Callbacks callbacks);
  void setReferenced(bool referenced);
  // Whether the descriptor is watched; it is at first. Nothing where there is none.
  void setWatching(bool watching);
  void startTimer(uint64_t delayMs);
  void stopTimer();
  // No callback comes after this call; `closed` is called when libuv has let go of every handle. Idempotent.
  void close(std::function<void()> closed);

 private:
  struct Handles;
  Handles* handles_ = nullptr;  // frees itself when closed
};

}  // namespace gammaloop
