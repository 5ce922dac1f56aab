#include "runner/job_queue.h"

#include <vector>

#include "runner/completion_ring.h"
#include "test.h"

using namespace gammaloop;

namespace {

constexpr uint64_t kAgingNs = 1000;

struct CountingBell final : Doorbell {
  void ring() noexcept override { rings++; }
  int rings = 0;
};

struct Fixture {
  explicit Fixture(uint32_t slots, uint32_t consumers = 1) : words(slots), queue(states(), slots, kAgingNs) {
    for (uint32_t i = 0; i < consumers; i++) {
      bells.push_back(std::make_shared<CountingBell>());
      queue.addConsumer(i, bells.back());
    }
  }
  JobStates states() { return {words.data(), 1}; }
  uint32_t push(uint32_t slot, uint8_t priority = 0, uint64_t nowNs = 0) {
    return queue.push(&slot, &priority, 1, nowNs);
  }
  std::vector<uint32_t> take(uint32_t limit = 64, uint64_t nowNs = 0, uint32_t consumer = 0) {
    taken.resize(limit);
    taken.resize(queue.take(consumer, taken.data(), limit, nowNs));
    std::vector<uint32_t> slots;
    for (const TakenJob& job : taken) slots.push_back(job.slot);
    return slots;
  }
  uint32_t generation(uint32_t slot) { return job_state::generationOf(words[slot]); }
  uint32_t place(uint32_t slot) { return job_state::placeOf(words[slot]); }

  std::vector<uint32_t> words;
  JobQueue queue;
  std::vector<std::shared_ptr<CountingBell>> bells;
  std::vector<TakenJob> taken;
};

using Slots = std::vector<uint32_t>;

}  // namespace

TEST("job queue: first in, first out, at most as many as asked for") {
  Fixture fixture(8);
  for (uint32_t slot : {4u, 2u, 7u}) fixture.push(slot);
  EXPECT_EQ(fixture.queue.size(), 3u);
  EXPECT(fixture.take(2) == Slots({4, 2}));
  EXPECT(fixture.take(2) == Slots({7}));
  EXPECT(fixture.take(2).empty());
  EXPECT_EQ(fixture.queue.size(), 0u);
}

TEST("job queue: the more urgent first") {
  Fixture fixture(8);
  fixture.push(0, 0);
  fixture.push(1, 7);
  fixture.push(2, 3);
  fixture.push(3, 7);
  EXPECT(fixture.take() == Slots({1, 3, 2, 0}));
}

TEST("job queue: what has waited long enough passes the more urgent, so that nobody starves") {
  Fixture fixture(8);
  fixture.push(0, 0, 0);
  fixture.push(1, 7, 6 * kAgingNs);
  EXPECT(fixture.take(1, 6 * kAgingNs) == Slots({1}));
  // Seven levels for seven times the ageing: equal at eight, and the more urgent of equals goes first.
  fixture.push(2, 7, 7 * kAgingNs);
  EXPECT(fixture.take(1, 7 * kAgingNs) == Slots({2}));
  fixture.push(3, 7, 8 * kAgingNs);
  EXPECT(fixture.take(1, 8 * kAgingNs) == Slots({0}));
}

TEST("job queue: a batch leaves a share for the other consumers") {
  Fixture fixture(16, 3);
  for (uint32_t slot = 0; slot < 9; slot++) fixture.push(slot);
  EXPECT_EQ(fixture.take(64, 0, 0).size(), 3u);
  EXPECT_EQ(fixture.take(64, 0, 1).size(), 2u);
  fixture.queue.removeConsumer(1);
  fixture.queue.removeConsumer(2);
  EXPECT_EQ(fixture.take(64, 0, 0).size(), 4u);
}

TEST("job queue: who found nothing is rung once, the latest to park first") {
  Fixture fixture(8, 2);
  fixture.take(1, 0, 0);
  fixture.take(1, 0, 1);
  fixture.take(1, 0, 1);
  EXPECT_EQ(fixture.push(0), 1u);
  EXPECT_EQ(fixture.bells[1]->rings, 1);
  EXPECT_EQ(fixture.push(1), 1u);
  EXPECT_EQ(fixture.push(2), 0u);
  EXPECT_EQ(fixture.bells[0]->rings, 1);
  EXPECT_EQ(fixture.bells[1]->rings, 1);
}

TEST("job queue: cancelled while queued or taken it is removed, while running it is asked, after that it has gone") {
  Fixture fixture(4);
  fixture.push(0);
  EXPECT(fixture.queue.cancel(0, fixture.generation(0)) == CancelOutcome::Removed);
  EXPECT_EQ(fixture.place(0), job_state::kFree);
  EXPECT_EQ(fixture.queue.size(), 0u);
  EXPECT(fixture.take().empty());

  fixture.push(1);
  fixture.take();
  EXPECT(fixture.queue.cancel(1, fixture.generation(1)) == CancelOutcome::Removed);
  EXPECT(!fixture.states().start(1, fixture.taken[0].generation));

  fixture.push(2);
  fixture.take();
  EXPECT(fixture.states().start(2, fixture.generation(2)));
  EXPECT(!fixture.states().isCancelled(2));
  EXPECT(fixture.queue.cancel(2, fixture.generation(2)) == CancelOutcome::Asked);
  EXPECT(fixture.states().isCancelled(2));
  fixture.states().release(2);
  EXPECT(fixture.queue.cancel(2, fixture.generation(2)) == CancelOutcome::Gone);
}

TEST("job queue: a late cancellation does not meet the next job of the slot") {
  Fixture fixture(1);
  fixture.push(0);
  const uint32_t old = fixture.generation(0);
  fixture.queue.cancel(0, old);
  fixture.push(0);
  EXPECT(fixture.queue.cancel(0, old) == CancelOutcome::Gone);
  EXPECT(fixture.take() == Slots({0}));
  EXPECT(!fixture.states().start(0, old));
  EXPECT(fixture.states().start(0, old + 1));
}

TEST("job queue: what is given back stands first again, in its order") {
  Fixture fixture(8);
  for (uint32_t slot = 0; slot < 4; slot++) fixture.push(slot);
  fixture.take(3);
  fixture.queue.cancel(1, fixture.generation(1));
  fixture.queue.giveBack(fixture.taken.data() + 1, 2);
  EXPECT(fixture.take() == Slots({2, 3}));
}

TEST("job queue: of a consumer that died, what it had not started is queued again, what it ran is told") {
  Fixture fixture(8, 2);
  for (uint32_t slot = 0; slot < 6; slot++) fixture.push(slot);
  EXPECT(fixture.take(3, 0, 0) == Slots({0, 1, 2}));
  EXPECT(fixture.states().start(0, fixture.generation(0)));
  while (!fixture.take(1, 0, 1).empty()) {
  }  // now it is parked
  fixture.queue.removeConsumer(0);
  EXPECT(fixture.queue.reclaim(0) == Slots({0}));
  EXPECT_EQ(fixture.bells[1]->rings, 1);
  EXPECT(fixture.take(64, 0, 1) == Slots({1, 2}));
  EXPECT(fixture.take(1, 0, 0).empty());  // it is given nothing
}

TEST("job queue: a retired consumer is given nothing, and can be rung for what it runs") {
  Fixture fixture(4, 2);
  fixture.push(0);
  fixture.take(1, 0, 0);
  fixture.queue.retireConsumer(0);
  fixture.push(1);
  EXPECT(fixture.take(1, 0, 0).empty());
  fixture.queue.ringConsumerOf(0);
  EXPECT_EQ(fixture.bells[0]->rings, 1);
  EXPECT_EQ(fixture.queue.consumerOf(0), 0u);
  EXPECT_EQ(fixture.queue.consumerOf(1), kNoConsumer);
  fixture.queue.removeConsumer(0);
  fixture.queue.ringConsumerOf(0);
  EXPECT_EQ(fixture.bells[0]->rings, 1);
}

TEST("job queue: a consumer that is withdrawn ends what it runs, and can start nothing that it took") {
  Fixture fixture(8, 2);
  while (!fixture.take(1, 0, 1).empty()) {
  }  // parked
  for (uint32_t slot = 0; slot < 6; slot++) fixture.push(slot);
  EXPECT(fixture.take(3, 0, 0) == Slots({0, 1, 2}));
  const std::vector<TakenJob> held = fixture.taken;
  EXPECT(fixture.states().start(0, held[0].generation));
  EXPECT_EQ(fixture.queue.withdraw(0), 2u);
  EXPECT_EQ(fixture.place(0), job_state::kRunning);
  EXPECT(!fixture.states().start(1, held[1].generation));
  EXPECT(fixture.take(2, 0, 1) == Slots({1, 2}));
  EXPECT(!fixture.states().start(1, held[1].generation));  // nor when another has taken it
  EXPECT(fixture.states().start(1, fixture.taken[0].generation));
  fixture.queue.giveBack(held.data() + 1, 2);  // too late: nothing happens
  EXPECT_EQ(fixture.place(2), job_state::kTaken);
  EXPECT(fixture.take(64, 0, 0).empty());
  EXPECT(fixture.queue.reclaim(0) == Slots({0}));
}

TEST("job queue: waiting times fall into their buckets") {
  Fixture fixture(4);
  fixture.push(0, 0, 1000);
  fixture.push(1, 0, 1000);
  fixture.take(1, 1000);
  fixture.take(1, 1'001'000);
  const Histogram waits = fixture.queue.waits();
  EXPECT_EQ(waits.counts()[0], 1u);
  EXPECT_EQ(waits.counts()[Histogram::bucketOf(1'000'000 / Histogram::kUnitNs)], 1u);
  EXPECT_EQ(Histogram::bucketOf(7), 7u);
  EXPECT_EQ(Histogram::bucketOf(8), 8u);
  EXPECT_EQ(Histogram::bucketOf(15), 15u);
  EXPECT_EQ(Histogram::bucketOf(16), 16u);
  EXPECT_EQ(Histogram::bucketOf(17), 16u);
  EXPECT_EQ(Histogram::bucketOf(UINT32_MAX), Histogram::kBuckets - 1);
}

TEST("completion ring: in order, round its end") {
  std::vector<uint32_t> words(CompletionRing::wordsFor(4));
  CompletionRing ring(words.data(), 4);
  uint32_t slot = 0;
  EXPECT(!ring.pop(slot));
  for (uint32_t round = 0; round < 10; round++) {
    for (uint32_t i = 0; i < 3; i++) ring.push(10 * round + i);
    for (uint32_t i = 0; i < 3; i++) {
      EXPECT(ring.pop(slot));
      EXPECT_EQ(slot, 10 * round + i);
    }
    EXPECT(!ring.pop(slot));
  }
}
