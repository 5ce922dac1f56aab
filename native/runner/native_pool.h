// NativePool: what the threads of a native lane share: the functions, and by slot the bytes of the jobs.
//
// A job's slot (lib/runner/native-values.ts is the mirror) has a header as every slot has, then
//   in:  where the input is, and its size. Small inputs, and the trace id, stand in a memory of their own, so many
//        bytes for each slot; others beside, as NativeBytes.
//   out: what came of it, the size, the task's own code, and the bytes, or beside. A last word has the progress.
//
// Owned together by the caller's wrapper and the workers. Thread: define() and functions() any; what belongs to a slot
// by who owns the slot.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "include/gammaloop_task.h"
#include "runner/native_bytes.h"
#include "runner/runner_core.h"

namespace gammaloop {

namespace native_slot {
inline constexpr uint32_t kFunctionWord = 1;
inline constexpr uint32_t kKindWord = 2;
inline constexpr uint32_t kTraceBytesWord = 3;  // with the 0 at its end; 0: none
inline constexpr uint32_t kDeadlineWord = 4;    // two words: a float64, ms of the monotonic clock
inline constexpr uint32_t kSizeWord = 6;
inline constexpr uint32_t kCodeWord = 7;
inline constexpr uint32_t kBytesWord = 8;
inline constexpr uint32_t kProgressWord = 63;  // parts of 2^32 - 1
inline constexpr uint32_t kInlineBytes = (kProgressWord - kBytesWord) * 4;

// In the kind word.
inline constexpr uint32_t kInputBeside = 1;
inline constexpr uint32_t kOutputIsError = 1;
inline constexpr uint32_t kOutputBeside = 8;
}  // namespace native_slot

struct NativeJob {
  NativeBytes input;
  NativeBytes output;
};

// Not owned: the caller keeps the memory until the pool has no workers any more.
struct NativeMemory {
  uint32_t* slots = nullptr;
  uint32_t strideWords = 0;
  const uint8_t* inputs = nullptr;
  uint32_t inputStrideBytes = 0;
};

class NativePool {
 public:
  NativePool(std::shared_ptr<RunnerCore> core, NativeMemory memory, uint32_t slots)
      : core_(std::move(core)), memory_(memory), jobs_(slots) {}

  RunnerCore& core() { return *core_; }
  NativeJob& job(uint32_t slot) { return jobs_[slot]; }
  uint32_t* words(uint32_t slot) { return memory_.slots + size_t{slot} * memory_.strideWords; }
  const uint8_t* input(uint32_t slot) const { return memory_.inputs + size_t{slot} * memory_.inputStrideBytes; }

  // At the end: what runs is to return.
  void cancelRunning() {
    for (uint32_t slot = 0; slot < jobs_.size(); slot++) core_->states().cancelIfRunning(slot);
  }

  // Before the first job that has this number.
  void define(uint32_t function, gammaloop_task_function entry) {
    const std::lock_guard lock(mutex_);
    if (function >= functions_.size()) functions_.resize(function + 1);
    functions_[function] = entry;
  }
  std::vector<gammaloop_task_function> functions() const {
    const std::lock_guard lock(mutex_);
    return functions_;
  }

 private:
  const std::shared_ptr<RunnerCore> core_;
  const NativeMemory memory_;
  std::vector<NativeJob> jobs_;
  mutable std::mutex mutex_;
  std::vector<gammaloop_task_function> functions_;
};

}  // namespace gammaloop
