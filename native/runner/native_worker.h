// NativeWorker: a thread's part in a native lane. It takes jobs from the queue, calls their functions, and returns them
// on its lane, in the way of lib/runner/worker-loop.ts: several at once only where the functions have been fast, and
// the caller is rung after a batch and before a job that is not known to be fast.
//
// Owned by whoever has the thread, who joins it before letting go. Thread: run() its own; the rest any.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "runner/completion_ring.h"
#include "runner/condition_doorbell.h"
#include "runner/native_pool.h"
#include "runner/work_spin.h"

namespace gammaloop {

class NativeWorker {
 public:
  static constexpr uint32_t kMaxBatch = 64;

  struct Options {
    uint64_t idleNs = ConditionDoorbell::kForever;  // without work: then it ends
    uint64_t spinNs = 0;                            // looks for work so long before it sleeps
    uint32_t batchSize = kMaxBatch;                 // of jobs of quick functions, at most kMaxBatch
  };

  // It is a consumer of the queue from now on.
  NativeWorker(std::shared_ptr<NativePool> pool, uint32_t consumer, CompletionRing lane, Options options);

  // Until it is retired, or has had nothing to do for `idleNs`; then its lane has ended, and run() returns soon.
  void run();
  // It finishes what it has taken, then run() returns.
  void retire();

 private:
  static constexpr uint64_t kFastNs = 20'000;

  uint32_t take(uint64_t nowNs);
  void runJob(TakenJob job);
  void finish(uint32_t slot, struct NativeCall& call, int32_t code);
  void measure(uint32_t function, uint64_t ns);
  void ringCaller();

  const std::shared_ptr<NativePool> pool_;
  const uint32_t consumer_;
  const Options options_;
  CompletionRing lane_;
  WorkSpin spin_;
  const std::shared_ptr<ConditionDoorbell> doorbell_ = std::make_shared<ConditionDoorbell>();
  std::atomic<bool> retiring_{false};

  std::array<TakenJob, kMaxBatch> taken_;
  std::vector<gammaloop_task_function> functions_;  // as far as they are known here
  std::vector<uint64_t> averagesNs_;                // by function; kUnknownNs: never run
  uint32_t batchLimit_ = 1;
  bool unrung_ = false;  // the caller has not been rung for what is on the lane
  uint64_t nowNs_ = 0;
};

}  // namespace gammaloop
