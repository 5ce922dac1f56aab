#include "reactor/phase_clock.h"

#include "test.h"

using namespace gammaloop;

namespace {

uint64_t nowNs = 0;
int readings = 0;
uint64_t fakeClock() {
  readings++;
  return nowNs;
}

uint64_t in(PhaseClock& clock, Phase phase) { return clock.times().ns[static_cast<size_t>(phase)]; }

// A turn in which writing is interrupted by JavaScript, which writes.
void turn(PhaseClock& clock) {
  clock.countTurn();
  const PhaseScope turn(clock, Phase::Poll);
  nowNs += 1;
  clock.enter(Phase::Read);
  nowNs += 20;
  clock.enter(Phase::Timers);
  nowNs += 300;
  const PhaseScope writing(clock, Phase::Write);
  nowNs += 4000;
  {
    const PhaseScope dispatching(clock, Phase::Dispatch);
    nowNs += 50000;
    const PhaseScope sending(clock, Phase::Write);
    nowNs += 600000;
  }
  const PhaseScope flushing(clock, Phase::Write);
  nowNs += 7000000;
}

}  // namespace

TEST("phase clock: reads no clock while it is not measuring") {
  PhaseClock clock(fakeClock);
  readings = 0;
  turn(clock);
  EXPECT_EQ(readings, 0);
  EXPECT_EQ(clock.times().turns, 0u);
  EXPECT_EQ(in(clock, Phase::Write), 0u);
}

TEST("phase clock: each phase has its own time, an interrupted one goes on, outside of turns nothing counts") {
  PhaseClock clock(fakeClock);
  clock.start();
  readings = 0;
  turn(clock);
  EXPECT_EQ(readings, 10);  // where one phase follows another; none where writing flushes
  nowNs += 80000000;
  turn(clock);
  EXPECT_EQ(clock.times().turns, 2u);
  EXPECT_EQ(in(clock, Phase::Poll), 2u);
  EXPECT_EQ(in(clock, Phase::Read), 40u);
  EXPECT_EQ(in(clock, Phase::Timers), 600u);
  EXPECT_EQ(in(clock, Phase::Write), 2 * 7604000u);
  EXPECT_EQ(in(clock, Phase::Dispatch), 100000u);
}

TEST(
    "phase clock: begins within a phase, tells of one that is not over, begins anew, and keeps what it has when it "
    "ends") {
  PhaseClock clock(fakeClock);
  clock.enter(Phase::Dispatch);
  nowNs += 5;
  clock.start();
  nowNs += 7;
  EXPECT_EQ(in(clock, Phase::Dispatch), 7u);
  nowNs += 2;
  EXPECT_EQ(in(clock, Phase::Dispatch), 9u);
  clock.start();
  nowNs += 3;
  EXPECT_EQ(in(clock, Phase::Dispatch), 3u);
  clock.stop();
  nowNs += 4;
  clock.enter(Phase::Outside);
  EXPECT_EQ(in(clock, Phase::Dispatch), 3u);
}
