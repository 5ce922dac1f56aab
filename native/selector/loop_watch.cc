#include "selector/loop_watch.h"

#include <utility>

namespace gammaloop {

namespace {
// A little later than the selector's own clock, so that its look at all descriptors is due when the timer comes.
constexpr uint64_t kSweepTimerMs = Selector::kSweepMs + 10;
}  // namespace

Result<void> LoopWatch::open() {
  watchedFd_ = selector_.poller().backendFd();
  UvLoopHooks::Callbacks callbacks;
  callbacks.readable = [this] { call(); };
  callbacks.prepare = [this] {
    if (!isArmed_) setWatching(false);
    if (isArmed_ && thread_ != nullptr) thread_->lend(selector_.poller());
  };
  callbacks.check = [] {};
  callbacks.timer = [this] {
    hooks_.startTimer(kSweepTimerMs);
    call();
  };
  if (watchedFd_ < 0 && doorbell_ == nullptr) {
    doorbell_ = std::make_unique<UvDoorbell>();
    if (Result<void> opened = doorbell_->open(loop_, [this] { call(); }); !opened) return opened;
    thread_ = std::make_unique<WaitingThread>([this] { doorbell_->ring(); });
  }
  if (Result<void> opened = hooks_.open(loop_, watchedFd_, std::move(callbacks)); !opened) return opened;
  isOpen_ = isWatching_ = true;
  return {};
}

void LoopWatch::call() {
  if (isArmed_) ready_();
}

void LoopWatch::setArmed(bool armed) {
  if (armed == isArmed_ || !isOpen_) return;
  isArmed_ = armed;
  hooks_.setReferenced(armed && isReferenced_);
  if (armed) setWatching(true);
}

// To watch a poller anew costs the kernel a look at everything in it: a watch that is disarmed ends only where it is
// not armed again before the loop blocks.
void LoopWatch::setWatching(bool watching) {
  if (watching == isWatching_) return;
  isWatching_ = watching;
  hooks_.setWatching(watching);
  if (watching) {
    hooks_.startTimer(kSweepTimerMs);
  } else {
    hooks_.stopTimer();
  }
}

void LoopWatch::setReferenced(bool referenced) {
  isReferenced_ = referenced;
  if (isOpen_) hooks_.setReferenced(isArmed_ && referenced);
}

void LoopWatch::reclaim() {
  if (thread_ != nullptr) thread_->reclaim();
}

Result<void> LoopWatch::follow() {
  if (isOpen_ && watchedFd_ == selector_.poller().backendFd()) return {};
  hooks_.close({});
  isOpen_ = false;
  if (Result<void> opened = open(); !opened) return opened;
  const bool armed = std::exchange(isArmed_, false);
  setWatching(false);
  setArmed(armed);
  return {};
}

void LoopWatch::close(std::function<void()> closed) {
  thread_.reset();
  isOpen_ = isArmed_ = isWatching_ = false;
  hooks_.close([this, closed = std::move(closed)] {
    if (doorbell_ == nullptr) return closed();
    doorbell_->close(closed);
  });
}

}  // namespace gammaloop
