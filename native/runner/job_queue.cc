#include "runner/job_queue.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/check.h"

namespace gammaloop {

using namespace job_state;

JobQueue::JobQueue(JobStates states, uint32_t slots, uint64_t agingNs)
    : states_(states), agingNs_(agingNs), entries_(slots) {}

// Jobs.

uint32_t JobQueue::push(const uint32_t* slots, const uint8_t* priorities, uint32_t count, uint64_t nowNs) {
  Doorbells doorbells;
  {
    const std::lock_guard lock(mutex_);
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t slot = slots[i];
      GAMMALOOP_CHECK(slot < entries_.size() && priorities[i] < kPriorityLevels);
      const uint32_t word = states_[slot].load(std::memory_order_relaxed);
      GAMMALOOP_CHECK(placeOf(word) == kFree);
      Entry& entry = entries_[slot];
      entry.priority = priorities[i];
      entry.queuedNs = nowNs;
      states_[slot].store(make(generationOf(word) + 1, kQueued), std::memory_order_release);
      pushBack(slot);
    }
    doorbells = wakeable(count);
  }
  for (const auto& doorbell : doorbells) doorbell->ring();
  return static_cast<uint32_t>(doorbells.size());
}

CancelOutcome JobQueue::cancel(uint32_t slot, uint32_t generation) {
  const std::lock_guard lock(mutex_);
  std::atomic<uint32_t>& state = states_[slot];
  uint32_t word = state.load(std::memory_order_acquire);
  while (generationOf(word) == generation) {
    switch (placeOf(word)) {
      case kQueued:  // moved under the lock only
        unlink(slot);
        state.store(make(generation, kFree), std::memory_order_release);
        return CancelOutcome::Removed;
      case kTaken:
        if (state.compare_exchange_weak(word, make(generation, kFree), std::memory_order_acq_rel)) {
          entries_[slot].consumer = kNoConsumer;
          return CancelOutcome::Removed;
        }
        break;
      case kRunning:
        if (state.compare_exchange_weak(word, word | kCancelBit, std::memory_order_acq_rel))
          return CancelOutcome::Asked;
        break;
      default:
        return CancelOutcome::Gone;
    }
  }
  return CancelOutcome::Gone;
}

// Consumers.

void JobQueue::addConsumer(uint32_t consumer, std::shared_ptr<Doorbell> doorbell) {
  const std::lock_guard lock(mutex_);
  if (consumer >= consumers_.size()) consumers_.resize(consumer + 1);
  GAMMALOOP_CHECK(consumers_[consumer].doorbell == nullptr);
  consumers_[consumer] = {std::move(doorbell)};
  consumerCount_++;
}

void JobQueue::removeConsumer(uint32_t consumer) {
  retireConsumer(consumer);
  const std::lock_guard lock(mutex_);
  if (consumer < consumers_.size()) consumers_[consumer] = {};
}

void JobQueue::retireConsumer(uint32_t consumer) {
  Doorbells doorbells;
  {
    const std::lock_guard lock(mutex_);
    if (consumer >= consumers_.size() || consumers_[consumer].doorbell == nullptr) return;
    if (std::exchange(consumers_[consumer].retired, true)) return;
    consumerCount_--;
    std::erase(parked_, consumer);
    // It may have been rung for a job that it will not take any more.
    doorbells = wakeable(size());
  }
  for (const auto& doorbell : doorbells) doorbell->ring();
}

uint32_t JobQueue::withdraw(uint32_t consumer) {
  retireConsumer(consumer);
  uint32_t count = 0;
  Doorbells doorbells;
  {
    const std::lock_guard lock(mutex_);
    for (uint32_t slot = static_cast<uint32_t>(entries_.size()); slot-- > 0;) {
      if (entries_[slot].consumer != consumer) continue;
      const uint32_t word = states_[slot].load(std::memory_order_acquire);
      // Another generation: the consumer still knows the one that it took, and may try to start it.
      if (placeOf(word) == kTaken && requeue(slot, generationOf(word), generationOf(word) + 1)) count++;
    }
    doorbells = wakeable(size());
  }
  for (const auto& doorbell : doorbells) doorbell->ring();
  return count;
}

uint32_t JobQueue::take(uint32_t consumer, TakenJob* jobs, uint32_t limit, uint64_t nowNs) {
  const std::lock_guard lock(mutex_);
  Consumer& taker = consumers_[consumer];
  if (taker.doorbell == nullptr || taker.retired) return 0;
  const uint32_t share = (size() + consumerCount_ - 1) / consumerCount_;
  const uint32_t count = std::min(limit, share);
  if (count == 0) {
    if (!taker.parked) parked_.push_back(consumer);
    taker.parked = true;
    return 0;
  }
  if (std::exchange(taker.parked, false)) std::erase(parked_, consumer);
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t slot = mostUrgent(nowNs);
    unlink(slot);
    Entry& entry = entries_[slot];
    entry.consumer = consumer;
    waits_.add(nowNs > entry.queuedNs ? nowNs - entry.queuedNs : 0);
    const uint32_t generation = generationOf(states_[slot].load(std::memory_order_relaxed));
    states_[slot].store(make(generation, kTaken), std::memory_order_release);
    jobs[i] = {slot, generation};
  }
  return count;
}

void JobQueue::giveBack(const TakenJob* jobs, uint32_t count) {
  Doorbells doorbells;
  {
    const std::lock_guard lock(mutex_);
    // The last one first, so that the first one comes to stand first.
    for (uint32_t i = count; i-- > 0;) requeue(jobs[i].slot, jobs[i].generation, jobs[i].generation);
    doorbells = wakeable(count);
  }
  for (const auto& doorbell : doorbells) doorbell->ring();
}

std::vector<uint32_t> JobQueue::reclaim(uint32_t consumer) {
  std::vector<uint32_t> running;
  Doorbells doorbells;
  {
    const std::lock_guard lock(mutex_);
    for (uint32_t slot = static_cast<uint32_t>(entries_.size()); slot-- > 0;) {
      if (entries_[slot].consumer != consumer) continue;
      const uint32_t word = states_[slot].load(std::memory_order_acquire);
      if (placeOf(word) == kTaken) requeue(slot, generationOf(word), generationOf(word));
      if (placeOf(word) == kRunning) running.push_back(slot);
    }
    doorbells = wakeable(size());
  }
  for (const auto& doorbell : doorbells) doorbell->ring();
  return running;
}

void JobQueue::ringConsumerOf(uint32_t slot) {
  std::shared_ptr<Doorbell> doorbell;
  {
    const std::lock_guard lock(mutex_);
    const uint32_t consumer = entries_[slot].consumer;
    if (consumer < consumers_.size()) doorbell = consumers_[consumer].doorbell;
  }
  if (doorbell != nullptr) doorbell->ring();
}

uint32_t JobQueue::consumerOf(uint32_t slot) const {
  const std::lock_guard lock(mutex_);
  return entries_[slot].consumer;
}

Histogram JobQueue::waits() const {
  const std::lock_guard lock(mutex_);
  return waits_;
}

// Under the lock.

void JobQueue::pushBack(uint32_t slot) {
  Level& level = levels_[entries_[slot].priority];
  entries_[slot].previous = level.last;
  entries_[slot].next = kNone;
  (level.last == kNone ? level.first : entries_[level.last].next) = slot;
  level.last = slot;
  entries_[slot].consumer = kNoConsumer;
  size_.fetch_add(1, std::memory_order_relaxed);
}

void JobQueue::pushFront(uint32_t slot) {
  Level& level = levels_[entries_[slot].priority];
  entries_[slot].previous = kNone;
  entries_[slot].next = level.first;
  (level.first == kNone ? level.last : entries_[level.first].previous) = slot;
  level.first = slot;
  entries_[slot].consumer = kNoConsumer;
  size_.fetch_add(1, std::memory_order_relaxed);
}

void JobQueue::unlink(uint32_t slot) {
  Entry& entry = entries_[slot];
  Level& level = levels_[entry.priority];
  (entry.previous == kNone ? level.first : entries_[entry.previous].next) = entry.next;
  (entry.next == kNone ? level.last : entries_[entry.next].previous) = entry.previous;
  size_.fetch_sub(1, std::memory_order_relaxed);
}

// The first of each level is its oldest, so the most urgent of all is among them.
uint32_t JobQueue::mostUrgent(uint64_t nowNs) const {
  uint32_t best = kNone;
  uint64_t bestUrgency = 0;
  for (uint32_t priority = kPriorityLevels; priority-- > 0;) {
    const uint32_t slot = levels_[priority].first;
    if (slot == kNone) continue;
    const Entry& entry = entries_[slot];
    const uint64_t waitedNs = nowNs > entry.queuedNs ? nowNs - entry.queuedNs : 0;
    const uint64_t urgency = priority * agingNs_ + waitedNs;
    if (best != kNone && urgency <= bestUrgency) continue;
    best = slot;
    bestUrgency = urgency;
  }
  return best;
}

// Taken to Queued, unless a cancellation has come first, or the consumer has started it.
bool JobQueue::requeue(uint32_t slot, uint32_t from, uint32_t to) {
  uint32_t expected = make(from, kTaken);
  if (!states_[slot].compare_exchange_strong(expected, make(to, kQueued), std::memory_order_acq_rel)) return false;
  pushFront(slot);
  return true;
}

// The doorbells of up to `count` parked consumers, who are awake from now on. To be rung without the lock.
JobQueue::Doorbells JobQueue::wakeable(uint32_t count) {
  Doorbells doorbells;
  while (doorbells.size() < count && !parked_.empty()) {
    Consumer& consumer = consumers_[parked_.back()];
    parked_.pop_back();
    consumer.parked = false;
    doorbells.push_back(consumer.doorbell);
  }
  return doorbells;
}

}  // namespace gammaloop
