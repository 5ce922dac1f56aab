// LoopWatch: a selector watched on Node's own loop: while it is armed, `ready` is called when a wait(0) may find
// something, level-triggered, and the loop is kept alive. A poller with a descriptor of its own is watched by that; for
// one without (poll) a thread waits while the loop blocks.
//
// Owned by: the addon, beside the selector. Thread: the loop's.
#pragma once

#include <functional>
#include <memory>

#include "selector/selector.h"
#include "selector/waiting_thread.h"
#include "sys/uv_doorbell.h"
#include "sys/uv_loop.h"

namespace gammaloop {

class LoopWatch {
 public:
  LoopWatch(uv_loop_s* loop, Selector& selector, std::function<void()> ready)
      : loop_(loop), selector_(selector), ready_(std::move(ready)) {}

  void setArmed(bool armed);
  bool isArmed() const { return isArmed_; }
  void setReferenced(bool referenced);
  // Before the selector is used.
  void reclaim();
  // After it was: its poller may be another one.
  Result<void> follow();
  // No callback comes after this call; `closed` is called when libuv has let go of everything. Once.
  void close(std::function<void()> closed);

 private:
  Result<void> open();
  void setWatching(bool watching);
  void call();

  uv_loop_s* loop_;
  Selector& selector_;
  std::function<void()> ready_;
  UvLoopHooks hooks_;
  std::unique_ptr<UvDoorbell> doorbell_;
  std::unique_ptr<WaitingThread> thread_;
  int watchedFd_ = -1;
  bool isOpen_ = false;
  bool isArmed_ = false;
  bool isWatching_ = false;
  bool isReferenced_ = true;
};

}  // namespace gammaloop
