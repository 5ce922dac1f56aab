// WaitingThread: a thread that waits on a poller which has no descriptor that another loop could watch. The poller is
// lent to it while its owner's loop blocks, and comes back when something is ready, or when the owner wants it. What
// the thread's wait returns is dropped: readiness is level-triggered, and the owner waits again.
//
// Owns: the thread, started by the first lend(). Thread: the owner's; `returned` is called on the thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "sys/poller.h"

namespace gammaloop {

class WaitingThread {
 public:
  // `returned`: the poller has come back by itself. Must not call back into this object.
  explicit WaitingThread(std::function<void()> returned) : returned_(std::move(returned)) {}
  ~WaitingThread();

  // The poller is the thread's until `returned` or reclaim(). Nothing when it is lent.
  void lend(Poller& poller);
  // It is the owner's when this returns. Nothing when it is already.
  void reclaim();

 private:
  void run();

  std::function<void()> returned_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Poller* poller_ = nullptr;  // lent
  bool isReclaiming_ = false;
  bool isStopping_ = false;
  std::thread thread_;
};

}  // namespace gammaloop
