// PhaseClock: how much time the phases of the reactor's turns take. While it is not measuring, entering a phase notes
// which one it is, and no clock is read; while it is, the clock is read once where a phase begins, so a few times a
// turn, however many connections the turn serves. Owned by the reactor. Thread: the reactor's.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace gammaloop {

enum class Phase : uint8_t {
  Outside,   // of a turn; not counted
  Poll,      // asking the poller
  Read,      // accepting, reading, parsing
  Timers,    // deadlines that have passed
  Dispatch,  // in JavaScript
  Write,     // carrying out what was answered, sending it, closing
};

class PhaseClock {
 public:
  static constexpr size_t kPhaseCount = 6;

  // Monotonic nanoseconds. Tests give one of their own.
  using Clock = uint64_t (*)();
  static uint64_t steadyClockNs() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  }

  struct Times {
    uint64_t turns = 0;
    std::array<uint64_t, kPhaseCount> ns{};  // by Phase
  };

  explicit PhaseClock(Clock clock = steadyClockNs) : clock_(clock) {}

  // Begins to measure, anew where it was done already; also within a phase, which counts from now on.
  void start() {
    times_ = {};
    since_ = clock_();
    measuring_ = true;
  }
  void stop() { measuring_ = false; }

  // Up to now.
  const Times& times() {
    if (measuring_) account();
    return times_;
  }

  // Returns the phase that this one interrupts.
  Phase enter(Phase phase) {
    const Phase before = phase_;
    if (measuring_ && phase != before) [[unlikely]]
      account();
    phase_ = phase;
    return before;
  }
  void countTurn() {
    if (measuring_) [[unlikely]]
      times_.turns++;
  }

 private:
  void account() {
    const uint64_t now = clock_();
    times_.ns[static_cast<size_t>(phase_)] += now - since_;
    since_ = now;
  }

  const Clock clock_;
  Times times_;
  uint64_t since_ = 0;
  Phase phase_ = Phase::Outside;
  bool measuring_ = false;
};

// A phase as long as this lives; then the one that it interrupts goes on.
class PhaseScope {
 public:
  PhaseScope(PhaseClock& clock, Phase phase) : clock_(clock), interrupted_(clock.enter(phase)) {}
  ~PhaseScope() { clock_.enter(interrupted_); }
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;

 private:
  PhaseClock& clock_;
  const Phase interrupted_;
};

}  // namespace gammaloop
