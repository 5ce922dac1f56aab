// The state word of a job, in memory that the caller and the consumers share. Its low bits say where the job is, the
// others are the generation: how often its slot has been used, so that a late message finds nobody.
//
//   Free -> Queued -> Taken -> Running -> Free
//              |         |        `-- kCancelBit is set when the running job has been asked to stop
//              `---------`-- removed at once by a cancellation: Free
//
// Who moves it: push, take, giveBack, withdraw, cancel and reclaim of JobQueue; Taken -> Running the consumer, by
// compare and swap, since a cancellation may come first; Running -> Free the caller, once it has the result.
// lib/runner/job-memory.ts is the mirror.
#pragma once

#include <atomic>
#include <cstdint>

namespace gammaloop {

namespace job_state {
inline constexpr uint32_t kFree = 0;
inline constexpr uint32_t kQueued = 1;
inline constexpr uint32_t kTaken = 2;
inline constexpr uint32_t kRunning = 3;
inline constexpr uint32_t kPlaceMask = 7;
inline constexpr uint32_t kCancelBit = 8;
inline constexpr uint32_t kGenerationShift = 4;

inline constexpr uint32_t placeOf(uint32_t word) { return word & kPlaceMask; }
inline constexpr uint32_t generationOf(uint32_t word) { return word >> kGenerationShift; }
inline constexpr uint32_t make(uint32_t generation, uint32_t place) { return generation << kGenerationShift | place; }
}  // namespace job_state

// The state words of all slots; not owned.
struct JobStates {
  uint32_t* first = nullptr;
  uint32_t strideWords = 1;

  std::atomic<uint32_t>& operator[](uint32_t slot) const {
    static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) && std::atomic<uint32_t>::is_always_lock_free);
    return *reinterpret_cast<std::atomic<uint32_t>*>(first + static_cast<size_t>(slot) * strideWords);
  }

  // The consumer's step before it runs the job. False: it was cancelled since it was taken; leave it alone.
  bool start(uint32_t slot, uint32_t generation) const {
    uint32_t expected = job_state::make(generation, job_state::kTaken);
    return (*this)[slot].compare_exchange_strong(expected, job_state::make(generation, job_state::kRunning),
                                                 std::memory_order_acq_rel);
  }
  bool isCancelled(uint32_t slot) const {
    return ((*this)[slot].load(std::memory_order_relaxed) & job_state::kCancelBit) != 0;
  }
  // Whatever its generation: for the end of everything.
  void cancelIfRunning(uint32_t slot) const {
    uint32_t word = (*this)[slot].load(std::memory_order_relaxed);
    while (job_state::placeOf(word) == job_state::kRunning &&
           !(*this)[slot].compare_exchange_weak(word, word | job_state::kCancelBit, std::memory_order_acq_rel)) {
    }
  }
  // The caller's step when it has the result: the slot may be pushed again.
  void release(uint32_t slot) const {
    const uint32_t word = (*this)[slot].load(std::memory_order_relaxed);
    (*this)[slot].store(job_state::make(job_state::generationOf(word), job_state::kFree), std::memory_order_release);
  }
};

}  // namespace gammaloop
