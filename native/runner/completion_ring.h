// CompletionRing: a consumer's lane, with the slots of the jobs that it has finished, in order, for the caller to
// collect. It has room for every slot there is, so that a push cannot fail. The memory is shared with JavaScript, which
// may be either side (lib/runner/job-memory.ts), in 32-bit words: head, tail, whether the consumer has ended, run times
// by bucket, what a consumer in JavaScript was given by take(), then the slots.
// Thread: pop() and hasEnded() the caller's, the rest the consumer's.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/check.h"
#include "runner/histogram.h"

namespace gammaloop {

class CompletionRing {
 public:
  static constexpr uint32_t kHeadWord = 0;
  static constexpr uint32_t kTailWord = 16;  // on a cache line of its own
  static constexpr uint32_t kEndedWord = 17;
  static constexpr uint32_t kRunTimesWord = 32;
  static constexpr uint32_t kTakenWord = kRunTimesWord + Histogram::kBuckets;
  static constexpr uint32_t kSlotsWord = kTakenWord + 2 * 64;
  static constexpr uint32_t wordsFor(uint32_t capacity) { return kSlotsWord + capacity; }

  // `capacity`: a power of two, at least the number of slots.
  CompletionRing(uint32_t* words, uint32_t capacity) : words_(words), mask_(capacity - 1) {
    GAMMALOOP_CHECK(capacity != 0 && (capacity & mask_) == 0);
  }

  // What was written to the job before is seen by who pops it.
  void push(uint32_t slot) {
    const uint32_t tail = word(kTailWord).load(std::memory_order_relaxed);
    words_[kSlotsWord + (tail & mask_)] = slot;
    word(kTailWord).store(tail + 1, std::memory_order_release);
  }

  void countRunTime(uint64_t ns) {
    std::atomic<uint32_t>& count = word(kRunTimesWord + Histogram::bucketOf(Histogram::unitsOf(ns)));
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  // The consumer does nothing more that the caller could see.
  void end() { word(kEndedWord).store(1, std::memory_order_release); }
  bool hasEnded() const { return word(kEndedWord).load(std::memory_order_acquire) != 0; }

  bool pop(uint32_t& slot) {
    const uint32_t head = word(kHeadWord).load(std::memory_order_relaxed);
    if (head == word(kTailWord).load(std::memory_order_acquire)) return false;
    slot = words_[kSlotsWord + (head & mask_)];
    word(kHeadWord).store(head + 1, std::memory_order_release);
    return true;
  }

 private:
  std::atomic<uint32_t>& word(uint32_t index) const {
    return *reinterpret_cast<std::atomic<uint32_t>*>(words_ + index);
  }

  uint32_t* words_;
  uint32_t mask_;
};

}  // namespace gammaloop
