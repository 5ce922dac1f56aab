// Native workers on a queue: many jobs, cancellations, workers that retire and are replaced. Under the thread sanitizer
// in `npm run stress:runner`, under the others in `npm run test:sanitize`.
#include "runner/native_worker.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "test.h"

using namespace gammaloop;
using namespace gammaloop::native_slot;

namespace {

constexpr uint32_t kSlots = 64;
constexpr uint32_t kStrideWords = 64;
constexpr uint32_t kInputBytes = 256;
constexpr uint32_t kRingCapacity = 64;

GAMMALOOP_TASK(echoTask) {
  uint8_t* out = gammaloop_output(task, task->input_size);
  if (task->input_size != 0) std::memcpy(out, task->input, task->input_size);
  gammaloop_progress(task, 0.5);
  return 0;
}

GAMMALOOP_TASK(giveTask) {
  auto* copy = new std::string(reinterpret_cast<const char*>(task->input), task->input_size);
  gammaloop_give_output(
      task, copy->data(), copy->size(), [](void*, size_t, void* hint) { delete static_cast<std::string*>(hint); },
      copy);
  return 0;
}

GAMMALOOP_TASK(failTask) {
  gammaloop_output(task, 1000);
  return gammaloop_fail(task, 42, std::string(task->input_size, 'e').c_str());
}

GAMMALOOP_TASK(untilCancelledTask) {
  while (gammaloop_is_cancelled(task) == 0) std::this_thread::yield();
  return 0;
}

constexpr gammaloop_task_function kTasks[] = {echoTask, giveTask, failTask, untilCancelledTask};
enum Function : uint32_t { kEcho, kGive, kFail, kUntilCancelled };

// The caller, as lib/runner does it.
struct Caller {
  struct Member {
    std::vector<uint32_t> words = std::vector<uint32_t>(CompletionRing::wordsFor(kRingCapacity));
    CompletionRing lane{words.data(), kRingCapacity};
    std::unique_ptr<NativeWorker> worker;
    std::thread thread;
  };

  Caller() : slots(kSlots * kStrideWords), inputs(kSlots * kInputBytes), expected(kSlots) {
    core = RunnerCore::create({slots.data(), kStrideWords}, kSlots, 1000, bell);
    pool = std::make_shared<NativePool>(core, NativeMemory{slots.data(), kStrideWords, inputs.data(), kInputBytes},
                                        kSlots);
    for (uint32_t i = 0; i < 4; i++) pool->define(i, kTasks[i]);
  }
  ~Caller() {
    for (auto& member : members) end(*member);
  }

  void start(NativeWorker::Options options = {}) {
    auto member = std::make_unique<Member>();
    const auto consumer = static_cast<uint32_t>(members.size());
    member->worker = std::make_unique<NativeWorker>(pool, consumer, member->lane, options);
    member->thread = std::thread([worker = member->worker.get()] { worker->run(); });
    members.push_back(std::move(member));
  }

  void end(Member& member) {
    if (!member.thread.joinable()) return;
    member.worker->retire();
    member.thread.join();
    EXPECT(member.lane.hasEnded());
  }

  void submit(uint32_t slot, Function function, std::string input) {
    uint32_t* words = pool->words(slot);
    const double never = std::numeric_limits<double>::infinity();
    words[kFunctionWord] = function;
    words[kTraceBytesWord] = 0;
    std::memcpy(words + kDeadlineWord, &never, sizeof(never));
    if (input.size() <= kInputBytes) {
      words[kKindWord] = 0;
      words[kSizeWord] = static_cast<uint32_t>(input.size());
      std::memcpy(inputs.data() + slot * kInputBytes, input.data(), input.size());
    } else {
      words[kKindWord] = kInputBeside;
      pool->job(slot).input = NativeBytes::copy(input.data(), input.size());
    }
    expected[slot] = {function, std::move(input)};
    const uint8_t priority = static_cast<uint8_t>(slot % kPriorityLevels);
    core->queue().push(&slot, &priority, 1, steadyNs());
  }

  CancelOutcome cancel(uint32_t slot) {
    return core->queue().cancel(slot, job_state::generationOf(core->states()[slot].load()));
  }

  // Calls with the slot of each job that has ended, checked, and free again after.
  template <typename F>
  uint32_t collect(F onEnd) {
    uint32_t count = 0;
    for (auto& member : members) {
      uint32_t slot;
      while (member->lane.pop(slot)) {
        check(slot);
        core->states().release(slot);
        onEnd(slot);
        count++;
      }
    }
    return count;
  }

  void check(uint32_t slot) {
    const uint32_t* words = pool->words(slot);
    const auto& [function, input] = expected[slot];
    const NativeBytes beside = std::move(pool->job(slot).output);
    const bool isBeside = (words[kKindWord] & kOutputBeside) != 0;
    const auto* bytes =
        isBeside ? reinterpret_cast<const char*>(beside.bytes()) : reinterpret_cast<const char*>(words + kBytesWord);
    const std::string output(bytes, isBeside ? beside.size() : words[kSizeWord]);
    EXPECT_EQ((words[kKindWord] & kOutputIsError) != 0, function == kFail);
    EXPECT_EQ(words[kCodeWord], function == kFail ? 42u : 0u);
    if (function == kFail) EXPECT_EQ(output, std::string(input.size(), 'e'));
    if (function == kEcho || function == kGive) EXPECT_EQ(output, input);
    EXPECT(pool->job(slot).input.bytes() == nullptr);
  }

  std::vector<uint32_t> slots;
  std::vector<uint8_t> inputs;
  std::vector<std::pair<Function, std::string>> expected;
  std::shared_ptr<ConditionDoorbell> bell = std::make_shared<ConditionDoorbell>();
  std::shared_ptr<RunnerCore> core;
  std::shared_ptr<NativePool> pool;
  std::vector<std::unique_ptr<Member>> members;
};

uint64_t targetOperations() {
  const char* text = std::getenv("GAMMALOOP_STRESS_OPERATIONS");
  return text == nullptr ? 100'000 : std::strtoull(text, nullptr, 10) / 10;
}

}  // namespace

TEST("native worker: results, errors and their sizes") {
  const int64_t before = NativeBytes::liveCount();
  {
    Caller caller;
    caller.start();
    for (const Function function : {kEcho, kGive, kFail}) {
      for (const size_t size : {0u, 1u, kInlineBytes, kInlineBytes + 1, kInputBytes, kInputBytes + 1, 100'000u}) {
        caller.submit(3, function, std::string(size, 'x'));
        while (caller.collect([](uint32_t) {}) == 0) caller.bell->wait();
      }
    }
    EXPECT_EQ(caller.pool->words(3)[kProgressWord], uint32_t{UINT32_MAX / 2});
  }
  EXPECT_EQ(NativeBytes::liveCount().load(), before);
}

TEST("native worker: one that is idle ends by itself, and another takes what comes") {
  Caller caller;
  caller.start({.idleNs = 1'000'000});
  while (!caller.members[0]->lane.hasEnded()) caller.bell->wait();
  caller.submit(0, kEcho, "late");
  caller.start({.spinNs = 1000});
  while (caller.collect([](uint32_t) {}) == 0) caller.bell->wait();
}

TEST("native worker: stress with cancellations and replaced workers") {
  const int64_t before = NativeBytes::liveCount();
  const uint64_t target = targetOperations();
  uint64_t ended = 0;
  uint64_t removed = 0;
  {
    Caller caller;
    std::mt19937 random(5);
    for (int i = 0; i < 2; i++) caller.start();
    std::vector<uint32_t> freeSlots;
    std::vector<bool> inFlight(kSlots);
    for (uint32_t slot = 0; slot < kSlots; slot++) freeSlots.push_back(slot);
    const auto free = [&](uint32_t slot) {
      inFlight[slot] = false;
      freeSlots.push_back(slot);
    };
    const auto tryCancel = [&](uint32_t slot) {
      if (!inFlight[slot] || caller.cancel(slot) != CancelOutcome::Removed) return;
      caller.pool->job(slot).input.reset();
      free(slot);
      removed++;
    };
    size_t current = 0;
    while (ended + removed < target) {
      while (!freeSlots.empty() && random() % 16 != 0) {
        const uint32_t slot = freeSlots.back();
        freeSlots.pop_back();
        const auto function = static_cast<Function>(random() % 64 == 0 ? 3 : random() % 3);
        inFlight[slot] = true;
        caller.submit(slot, function, std::string(random() % 400, static_cast<char>('a' + slot % 26)));
      }
      for (uint32_t slot = 0; slot < kSlots; slot++) {
        if (caller.expected[slot].first == kUntilCancelled || random() % 32 == 0) tryCancel(slot);
      }
      ended += caller.collect(free);
      if (random() % 512 == 0 && caller.members.size() < 200) {
        caller.start();
        caller.core->queue().withdraw(static_cast<uint32_t>(current));
        caller.members[current++]->worker->retire();
      }
    }
    for (uint32_t slot = 0; slot < kSlots; slot++) tryCancel(slot);
    while (freeSlots.size() < kSlots) {
      for (uint32_t slot = 0; slot < kSlots; slot++) tryCancel(slot);
      ended += caller.collect(free);
    }
    EXPECT(ended > 0 && removed > 0);
  }
  EXPECT_EQ(NativeBytes::liveCount().load(), before);
}
