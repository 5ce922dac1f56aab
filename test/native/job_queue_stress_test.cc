// Producers, consumers and cancellers on one queue, as many operations as GAMMALOOP_STRESS_OPERATIONS says (npm run
// stress:runner: ten million under the thread sanitizer). The payloads and results are plain memory, so that the
// sanitizer sees every hand-over that the queue does not order.
#include <atomic>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "runner/completion_ring.h"
#include "runner/condition_doorbell.h"
#include "runner/job_queue.h"
#include "test.h"

using namespace gammaloop;

namespace {

constexpr uint32_t kSlots = 96;
constexpr uint32_t kProducers = 3;
constexpr uint32_t kConsumers = 3;
constexpr uint32_t kCancellers = 2;
constexpr uint32_t kRingCapacity = 128;

uint64_t targetOperations() {
  const char* text = std::getenv("GAMMALOOP_STRESS_OPERATIONS");
  return text == nullptr ? 200'000 : std::strtoull(text, nullptr, 10);
}

struct Stress {
  Stress() : words(kSlots), queue(states(), kSlots, 1000), ringWords(kConsumers) {
    for (auto& memory : ringWords) memory.resize(CompletionRing::wordsFor(kRingCapacity));
    for (uint32_t i = 0; i < kConsumers; i++) {
      rings.emplace_back(ringWords[i].data(), kRingCapacity);
      bells.push_back(std::make_shared<ConditionDoorbell>());
      queue.addConsumer(i, bells[i]);
    }
  }
  JobStates states() { return {words.data(), 1}; }
  bool isFree(uint32_t slot) {
    return job_state::placeOf(states()[slot].load(std::memory_order_acquire)) == job_state::kFree;
  }

  // Owns every kProducers-th slot, and pushes those that are free, some at a time.
  void produce(uint32_t producer) {
    std::mt19937 random(producer);
    std::vector<uint32_t> batch;
    std::vector<uint8_t> priorities;
    while (operations.load(std::memory_order_relaxed) < target) {
      batch.clear();
      priorities.clear();
      const uint32_t limit = 1 + random() % 16;
      for (uint32_t slot = producer; slot < kSlots && batch.size() < limit; slot += kProducers) {
        if (!isFree(slot)) continue;
        payloads[slot] = random();
        batch.push_back(slot);
        priorities.push_back(static_cast<uint8_t>(random() % kPriorityLevels));
      }
      queue.push(batch.data(), priorities.data(), static_cast<uint32_t>(batch.size()), now++);
      pushed += batch.size();
      operations += batch.size();
      if (batch.empty()) std::this_thread::yield();
    }
    producing--;
  }

  void consume(uint32_t consumer) {
    std::mt19937 random(100 + consumer);
    TakenJob jobs[16];
    for (;;) {
      const uint32_t count = queue.take(consumer, jobs, 1 + random() % 16, now++);
      operations += count;
      if (count == 0) {
        if (withdrawn[consumer]) {  // it has ended, and another takes its place
          queue.removeConsumer(consumer);
          (void)queue.reclaim(consumer);
          queue.addConsumer(consumer, bells[consumer]);
          withdrawn[consumer] = false;
          claimed[consumer] = false;
          continue;
        }
        if (stopping) return;
        bells[consumer]->wait();
        continue;
      }
      const uint32_t begun = random() % 8 == 0 ? random() % count : count;
      for (uint32_t i = 0; i < begun; i++) run(consumer, jobs[i]);
      if (begun == count) continue;
      if (random() % 2 == 0) {
        queue.giveBack(jobs + begun, count - begun);
      } else {  // dies, and another takes its place
        queue.removeConsumer(consumer);
        // Those named are finished and not collected yet: it dies between jobs.
        (void)queue.reclaim(consumer);
        queue.addConsumer(consumer, bells[consumer]);
      }
    }
  }

  void run(uint32_t consumer, const TakenJob& job) {
    if (!states().start(job.slot, job.generation)) return;
    results[job.slot] = payloads[job.slot] + 1;
    rings[consumer].push(job.slot);
  }

  void cancel(uint32_t canceller) {
    std::mt19937 random(200 + canceller);
    while (producing > 0) {
      const uint32_t slot = random() % kSlots;
      uint32_t generation = job_state::generationOf(states()[slot].load(std::memory_order_relaxed));
      if (random() % 8 == 0) generation--;  // a late one
      const CancelOutcome outcome = queue.cancel(slot, generation);
      if (outcome == CancelOutcome::Removed) ended[slot]++;
      operations++;
      if (random() % 64 == 0) withdraw(random() % kConsumers);
      if (outcome == CancelOutcome::Gone) std::this_thread::yield();
    }
  }

  void withdraw(uint32_t consumer) {
    if (claimed[consumer].exchange(true)) return;
    requeued += queue.withdraw(consumer);
    withdrawn[consumer] = true;
    bells[consumer]->ring();
  }

  void collect() {
    while (!collected) {
      bool any = false;
      for (CompletionRing& ring : rings) {
        for (uint32_t slot; ring.pop(slot); any = true) {
          if (results[slot] != payloads[slot] + 1) wrong++;
          ended[slot]++;
          completed++;
          states().release(slot);
        }
      }
      if (!any) std::this_thread::yield();
    }
  }

  const uint64_t target = targetOperations();
  std::vector<uint32_t> words;
  JobQueue queue;
  std::vector<std::vector<uint32_t>> ringWords;
  std::vector<CompletionRing> rings;
  std::vector<std::shared_ptr<ConditionDoorbell>> bells;
  uint32_t payloads[kSlots] = {};
  uint32_t results[kSlots] = {};
  std::atomic<uint32_t> ended[kSlots] = {};
  std::atomic<uint64_t> operations{0}, pushed{0}, completed{0}, wrong{0}, requeued{0}, now{0};
  std::atomic<uint32_t> producing{kProducers};
  std::atomic<bool> stopping{false}, collected{false};
  std::atomic<bool> claimed[kConsumers] = {}, withdrawn[kConsumers] = {};
};

}  // namespace

TEST("job queue: stress: every job ends once, whoever pushes, takes, gives back, dies, is withdrawn and cancels") {
  auto stress = std::make_unique<Stress>();
  std::vector<std::thread> consumers, others;
  for (uint32_t i = 0; i < kConsumers; i++) consumers.emplace_back([&, i] { stress->consume(i); });
  std::thread collector([&] { stress->collect(); });
  for (uint32_t i = 0; i < kProducers; i++) others.emplace_back([&, i] { stress->produce(i); });
  for (uint32_t i = 0; i < kCancellers; i++) others.emplace_back([&, i] { stress->cancel(i); });
  for (std::thread& thread : others) thread.join();
  for (uint32_t slot = 0; slot < kSlots; slot++) {
    while (!stress->isFree(slot)) std::this_thread::yield();
  }
  stress->stopping = true;
  for (const auto& bell : stress->bells) bell->ring();
  for (std::thread& thread : consumers) thread.join();
  stress->collected = true;
  collector.join();

  EXPECT_EQ(stress->wrong.load(), 0u);
  EXPECT_EQ(stress->queue.size(), 0u);
  uint64_t ended = 0;
  uint64_t generations = 0;
  for (uint32_t slot = 0; slot < kSlots; slot++) {
    generations += job_state::generationOf(stress->words[slot]);
    ended += stress->ended[slot];
  }
  EXPECT_EQ(ended, stress->pushed.load());
  // What a withdrawn consumer had is queued again in another generation.
  EXPECT_EQ(ended + stress->requeued, generations);
  EXPECT(stress->completed > 0 && stress->completed < stress->pushed);
}
