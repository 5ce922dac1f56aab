#include "reactor/timer_wheel.h"

#include <memory>
#include <random>
#include <vector>

#include "test.h"

using namespace gammaloop;

namespace {

constexpr uint64_t kStartMs = 1'000'000;
constexpr uint64_t kTurnMs = TimerWheel::kTickMs * TimerWheel::kSlots;

struct Timer : TimerNode {
  Timer() {
    onExpired = [](TimerNode& node, uint64_t nowMs) {
      auto& self = static_cast<Timer&>(node);
      self.firedAtMs = nowMs;
      self.count++;
    };
  }
  uint64_t firedAtMs = 0;
  int count = 0;
};

// Advances in steps until `untilMs`.
void run(TimerWheel& wheel, uint64_t fromMs, uint64_t untilMs, uint64_t stepMs) {
  for (uint64_t now = fromMs; now < untilMs; now += stepMs) wheel.advance(now);
  wheel.advance(untilMs);
}

}  // namespace

TEST("timer wheel: never early, at most two ticks late, once") {
  const std::vector<uint64_t> delays = {0,      1,           15,      16,          17,     100,
                                        16'000, kTurnMs - 1, kTurnMs, kTurnMs + 1, 60'000, 300'000};
  for (uint64_t delay : delays) {
    for (uint64_t step : {1, 7, 16, 1000}) {
      TimerWheel wheel(kStartMs);
      Timer timer;
      wheel.schedule(timer, kStartMs + delay);
      run(wheel, kStartMs, kStartMs + delay + 2 * TimerWheel::kTickMs + step, step);
      EXPECT_EQ(timer.count, 1);
      EXPECT(timer.firedAtMs >= kStartMs + delay);
      EXPECT(timer.firedAtMs <= kStartMs + delay + 2 * TimerWheel::kTickMs + step);
      EXPECT_EQ(timer.deadlineMs, 0u);
    }
  }
}

TEST("timer wheel: moved later again and again, it fires once, at the last deadline") {
  TimerWheel wheel(kStartMs);
  Timer timer;
  for (uint64_t now = kStartMs; now < kStartMs + 3 * kTurnMs; now += 500) {
    wheel.advance(now);
    wheel.schedule(timer, now + 5000);
    EXPECT_EQ(timer.count, 0);
  }
  const uint64_t deadline = timer.deadlineMs;
  run(wheel, kStartMs + 3 * kTurnMs, deadline - 1, 16);
  EXPECT_EQ(timer.count, 0);
  wheel.advance(deadline + 2 * TimerWheel::kTickMs);
  EXPECT_EQ(timer.count, 1);
}

TEST("timer wheel: moved earlier, it fires at the earlier deadline") {
  TimerWheel wheel(kStartMs);
  Timer timer;
  wheel.schedule(timer, kStartMs + 300'000);
  wheel.schedule(timer, kStartMs + 100);
  run(wheel, kStartMs, kStartMs + 140, 1);
  EXPECT_EQ(timer.count, 1);
  run(wheel, kStartMs + 140, kStartMs + 400'000, 16);
  EXPECT_EQ(timer.count, 1);
}

TEST("timer wheel: a cancelled timer does not fire, and can be set again") {
  TimerWheel wheel(kStartMs);
  Timer timer;
  wheel.schedule(timer, kStartMs + 100);
  wheel.cancel(timer);
  run(wheel, kStartMs, kStartMs + 50, 10);
  wheel.schedule(timer, kStartMs + 200);
  run(wheel, kStartMs + 50, kStartMs + 199, 1);
  EXPECT_EQ(timer.count, 0);
  wheel.advance(kStartMs + 240);
  EXPECT_EQ(timer.count, 1);
}

TEST("timer wheel: after a long sleep all that is due fires at once, and nothing else") {
  TimerWheel wheel(kStartMs);
  std::vector<std::unique_ptr<Timer>> timers;
  for (uint64_t i = 0; i < 2000; i++) {
    timers.push_back(std::make_unique<Timer>());
    wheel.schedule(*timers.back(), kStartMs + i * 100);
  }
  const uint64_t nowMs = kStartMs + 5 * kTurnMs;  // 81.92 s
  wheel.advance(nowMs);
  for (const auto& timer : timers) {
    if (timer->count != 0) EXPECT_EQ(timer->firedAtMs, nowMs);
  }
  uint64_t fired = 0;
  for (uint64_t i = 0; i < 2000; i++) fired += static_cast<uint64_t>(timers[i]->count);
  EXPECT_EQ(fired, 5 * kTurnMs / 100 + 1);
  wheel.advance(kStartMs + 200'000 + 32);
  for (const auto& timer : timers) EXPECT_EQ(timer->count, 1);
}

TEST("timer wheel: nextWakeMs names the instant, and nothing when empty") {
  TimerWheel wheel(kStartMs);
  EXPECT(!wheel.nextWakeMs());
  Timer late, soon;
  wheel.schedule(late, kStartMs + 10'000);
  EXPECT(wheel.nextWakeMs().value_or(0) >= kStartMs + 10'000);
  wheel.schedule(soon, kStartMs + 100);
  const uint64_t wake = wheel.nextWakeMs().value_or(0);
  EXPECT(wake >= kStartMs + 100 && wake <= kStartMs + 100 + TimerWheel::kTickMs);
  wheel.advance(wake);
  EXPECT_EQ(soon.count, 1);
  const uint64_t next = wheel.nextWakeMs().value_or(0);
  EXPECT(next >= kStartMs + 10'000 && next <= kStartMs + 10'000 + TimerWheel::kTickMs);
  wheel.advance(next);
  EXPECT_EQ(late.count, 1);
  EXPECT(!wheel.nextWakeMs());
}

TEST("timer wheel: woken only when nextWakeMs says, every deadline is met") {
  std::mt19937 random(1);
  TimerWheel wheel(kStartMs);
  std::vector<std::unique_ptr<Timer>> timers;
  std::vector<uint64_t> deadlines;
  for (int i = 0; i < 500; i++) {
    timers.push_back(std::make_unique<Timer>());
    deadlines.push_back(kStartMs + random() % 100'000);
    wheel.schedule(*timers.back(), deadlines.back());
  }
  int wakes = 0;
  while (const std::optional<uint64_t> wake = wheel.nextWakeMs()) {
    wheel.advance(*wake);
    if (++wakes > 20'000) break;
  }
  EXPECT(wakes < 20'000);
  for (size_t i = 0; i < timers.size(); i++) {
    EXPECT_EQ(timers[i]->count, 1);
    EXPECT(timers[i]->firedAtMs >= deadlines[i]);
    EXPECT(timers[i]->firedAtMs <= deadlines[i] + 2 * TimerWheel::kTickMs);
  }
}

namespace {

struct Rearming : TimerNode {
  TimerWheel* wheel = nullptr;
  std::unique_ptr<Rearming>* victim = nullptr;
  int count = 0;
};

}  // namespace

TEST("timer wheel: a timer may set itself again, and destroy another that is due in the same tick") {
  TimerWheel wheel(kStartMs);
  Rearming first;
  auto second = std::make_unique<Rearming>();
  first.wheel = &wheel;
  first.victim = &second;
  first.onExpired = [](TimerNode& node, uint64_t nowMs) {
    auto& self = static_cast<Rearming&>(node);
    self.count++;
    self.victim->reset();
    if (self.count < 3) self.wheel->schedule(self, nowMs + 100);
  };
  second->onExpired = [](TimerNode& node, uint64_t) { static_cast<Rearming&>(node).count = 99; };
  wheel.schedule(first, kStartMs + 50);
  wheel.schedule(*second, kStartMs + 50);
  run(wheel, kStartMs, kStartMs + 1000, 16);
  EXPECT_EQ(first.count, 3);
  EXPECT(second == nullptr);
}
