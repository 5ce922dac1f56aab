// RepeatedLooks: whether a turn is followed by another at once. Between two turns the loop underneath does its own
// round (timers, its own epoll, on which ours is nested), which costs about as much as a turn with one message: where a
// few busy connections have something new by the time they were answered, looking at once spares it. Where they have
// not, a look is a system call for nothing, so after one the next turns do without, twice as many each time. Owned by
// the engine.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace gammaloop {

class RepeatedLooks {
 public:
  // After a turn that began at `nowMs` and found `ready` descriptors, the `looks`-th at once.
  bool wanted(size_t ready, int looks, uint64_t nowMs) {
    if (looks > 0) {
      ready == 0 ? pauseLonger() : endPause();
    } else {
      beganMs_ = nowMs;
      found_ = 0;
    }
    found_ += ready;
    // Many share the loop's round anyway; and what else the loop has to do waits for a millisecond at most, or for one
    // turn where that takes longer.
    if (ready == 0 || ready > kFew || found_ >= kMost || nowMs != beganMs_) return false;
    if (skip_ == 0) return true;
    skip_--;
    return false;
  }

 private:
  static constexpr size_t kFew = 8;
  static constexpr size_t kMost = 48;  // that a turn and its looks find
  static constexpr uint32_t kLongestPause = 64;

  void pauseLonger() {
    pause_ = std::min(std::max(pause_ * 2, 1u), kLongestPause);
    skip_ = pause_;
  }
  void endPause() { pause_ = skip_ = 0; }

  uint32_t pause_ = 0;  // turns without another look after the latest that found nothing
  uint32_t skip_ = 0;   // of them to come
  size_t found_ = 0;    // by the turn and its looks
  uint64_t beganMs_ = 0;
};

}  // namespace gammaloop
