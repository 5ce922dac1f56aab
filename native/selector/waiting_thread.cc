#include "selector/waiting_thread.h"

#include <array>

namespace gammaloop {

WaitingThread::~WaitingThread() {
  if (!thread_.joinable()) return;
  reclaim();
  {
    const std::lock_guard lock(mutex_);
    isStopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void WaitingThread::lend(Poller& poller) {
  const std::lock_guard lock(mutex_);
  if (poller_ != nullptr) return;
  poller_ = &poller;
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_all();
}

void WaitingThread::reclaim() {
  std::unique_lock lock(mutex_);
  if (poller_ == nullptr) return;
  isReclaiming_ = true;
  poller_->wake();
  changed_.wait(lock, [this] { return poller_ == nullptr; });
  isReclaiming_ = false;
}

void WaitingThread::run() {
  std::array<ReadyEvent, 1> dropped;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return poller_ != nullptr || isStopping_; });
    if (isStopping_) return;
    Poller* const poller = poller_;
    lock.unlock();
    (void)poller->wait(dropped, -1).ok();  // an error comes again, in the owner's wait
    lock.lock();
    poller_ = nullptr;
    if (!isReclaiming_) returned_();
    changed_.notify_all();
  }
}

}  // namespace gammaloop
