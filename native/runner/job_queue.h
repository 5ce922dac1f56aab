// JobQueue: what waits to be run, for any kind of consumer (a worker's JavaScript, a native thread, a process).
//
// Guaranteed:
// - a pushed job is given to exactly one consumer, or removed by a cancellation; never both (job_state.h).
// - the more urgent job first, and among equals the older one. Ageing: each `agingNs` of waiting counts as one level,
//   so that a job of priority 0 passes new ones of priority 7 after seven of them: nobody starves.
// - take() gives a consumer at most its share, so that a batch for one leaves work for the others.
// - a consumer that finds nothing is parked, and rung once when there is something.
//
// Bounded by its slots: who pushes owns a free slot, and gets it back when the job is done or removed. A mutex guards
// the lists, held for a batch at a time; the jobs' states are atomics, so that starting a job takes no lock.
// Thread: any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/brief_mutex.h"
#include "base/doorbell.h"
#include "runner/histogram.h"
#include "runner/job_state.h"

namespace gammaloop {

inline constexpr uint32_t kNoConsumer = UINT32_MAX;
inline constexpr uint32_t kPriorityLevels = 8;  // 7 is the most urgent

struct TakenJob {
  uint32_t slot;
  uint32_t generation;
};

enum class CancelOutcome : uint32_t {
  Removed,  // it will not run; the slot is free
  Asked,    // it runs, and has been told
  Gone,     // of this generation there is no job any more
};

class JobQueue {
 public:
  JobQueue(JobStates states, uint32_t slots, uint64_t agingNs);

  // Jobs.

  // The slots must be free, and stay the caller's to write until this call. `priorities` has one for each. Returns how
  // many parked consumers were rung for them.
  uint32_t push(const uint32_t* slots, const uint8_t* priorities, uint32_t count, uint64_t nowNs);
  CancelOutcome cancel(uint32_t slot, uint32_t generation);

  // Consumers.

  // The index may have been a consumer's before that has been removed.
  void addConsumer(uint32_t consumer, std::shared_ptr<Doorbell> doorbell);
  // From now on it is given nothing, and can still be rung for what it runs.
  void retireConsumer(uint32_t consumer);
  // Retired by somebody else: what it took and has not started is queued again, at the front, and it cannot start that
  // any more. So from now on it runs what it runs, and nothing after. Returns how many were queued again.
  uint32_t withdraw(uint32_t consumer);
  // It is gone. What it took stays its own until reclaim().
  void removeConsumer(uint32_t consumer);
  // Up to `limit` jobs, now Taken. None: the consumer is parked.
  uint32_t take(uint32_t consumer, TakenJob* jobs, uint32_t limit, uint64_t nowNs);
  // Jobs that were taken and not started, to the front of their priority again.
  void giveBack(const TakenJob* jobs, uint32_t count);
  // A consumer has died: what it had not started is queued again, at the front. Returns what it was running.
  std::vector<uint32_t> reclaim(uint32_t consumer);

  // Rings whoever has taken the job, so that it looks at the state.
  void ringConsumerOf(uint32_t slot);
  // kNoConsumer: nobody has taken it.
  uint32_t consumerOf(uint32_t slot) const;

  // Without the lock: a hint.
  uint32_t size() const { return size_.load(std::memory_order_relaxed); }
  // How long the jobs have waited that were taken so far.
  Histogram waits() const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Entry {
    uint32_t previous = kNone;
    uint32_t next = kNone;
    uint32_t consumer = kNoConsumer;  // who took it
    uint8_t priority = 0;
    uint64_t queuedNs = 0;
  };
  struct Level {
    uint32_t first = kNone;
    uint32_t last = kNone;
  };
  struct Consumer {
    std::shared_ptr<Doorbell> doorbell;  // nullptr: there is no such consumer
    bool parked = false;
    bool retired = false;
  };
  using Doorbells = std::vector<std::shared_ptr<Doorbell>>;

  void pushBack(uint32_t slot);
  void pushFront(uint32_t slot);
  void unlink(uint32_t slot);
  uint32_t mostUrgent(uint64_t nowNs) const;
  bool requeue(uint32_t slot, uint32_t from, uint32_t to);
  Doorbells wakeable(uint32_t count);

  const JobStates states_;
  const uint64_t agingNs_;
  mutable BriefMutex mutex_;
  std::vector<Entry> entries_;  // by slot
  std::array<Level, kPriorityLevels> levels_;
  std::vector<Consumer> consumers_;
  std::vector<uint32_t> parked_;  // the latest to park is the first to be rung: its caches are warm
  uint32_t consumerCount_ = 0;
  std::atomic<uint32_t> size_{0};
  Histogram waits_;
};

}  // namespace gammaloop
