// WorkSpin: how a consumer that finds nothing looks on for a moment before it parks. When tasks come one after another,
// the next one then finds it awake: a wake-up is most of what a quick task takes, above all where the processor
// itself has gone to sleep.
//
// Who looks in vain again and again looks seldom. In the whole process fewer threads look than there are processors,
// and each lets go first who waits for its processor: it may be the caller, with the very task. Owned by its consumer.
// Thread: the consumer's.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <utility>

#include "runner/job_queue.h"
#include "runner/runner_core.h"

namespace gammaloop {

class WorkSpin {
 public:
  explicit WorkSpin(uint64_t spinNs) : spinNs_(spinNs) {}

  // Until there is something in the queue, or the time is over. Whether there is, is for who takes it to find out.
  void await(const JobQueue& queue) {
    if (queue.size() != 0) {
      misses_ = 0;
    } else {
      const uint32_t misses = misses_++;
      if (spinNs_ != 0 && (misses < kMisses || misses % kMisses == 0)) look(queue);
    }
  }

 private:
  static constexpr uint32_t kMisses = 8;
  static constexpr uint64_t kSharedNs = 10'000;  // nothing else takes so long here

  void look(const JobQueue& queue) {
    static std::atomic<uint32_t> lookers{0};
    static const uint32_t limit = std::max(1U, std::thread::hardware_concurrency()) - 1;
    if (lookers.fetch_add(1, std::memory_order_relaxed) < limit) {
      uint64_t now = steadyNs();
      const uint64_t end = now + spinNs_;
      while (now < end && queue.size() == 0) {
        std::this_thread::yield();
        const uint64_t before = std::exchange(now, steadyNs());
        // Another thread has had the processor: who is woken comes to it sooner than who lets others go first.
        if (now - before > kSharedNs) {
          misses_ = kMisses + 1;
          break;
        }
      }
      if (queue.size() != 0) misses_ = 0;
    }
    lookers.fetch_sub(1, std::memory_order_relaxed);
  }

  const uint64_t spinNs_;
  uint32_t misses_ = 0;  // in a row
};

}  // namespace gammaloop
