// ConditionDoorbell: wakes a thread that sleeps on a condition. Shared by who rings and who sleeps.
// Thread: ring() from any; wait() the sleeper's.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/doorbell.h"

namespace gammaloop {

class ConditionDoorbell final : public Doorbell {
 public:
  void ring() noexcept override {
    {
      const std::lock_guard lock(mutex_);
      rung_ = true;
    }
    condition_.notify_one();
  }

  // Sleeps until it is rung. False: `limitNs` have passed first.
  bool wait(uint64_t limitNs = kForever) {
    std::unique_lock lock(mutex_);
    const auto isRung = [this] { return rung_; };
    if (limitNs == kForever) {
      condition_.wait(lock, isRung);
    } else if (!condition_.wait_for(lock, std::chrono::nanoseconds(limitNs), isRung)) {
      return false;
    }
    rung_ = false;
    return true;
  }

  static constexpr uint64_t kForever = UINT64_MAX;

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool rung_ = false;
};

}  // namespace gammaloop
