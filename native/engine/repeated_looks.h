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
  // After a turn that found `ready` descriptors, the `looks`-th at once.
  bool wanted(size_t ready, int looks) {
    if (looks > 0) ready == 0 ? pauseLonger() : endPause();
    // Many share the loop's round anyway; and what else the loop has to do waits for a fraction of a millisecond only.
    if (ready == 0 || ready > kFew || looks == kMostLooks) return false;
    if (skip_ == 0) return true;
    skip_--;
    return false;
  }

 private:
  static constexpr size_t kFew = 8;
  static constexpr int kMostLooks = 8;
  static constexpr uint32_t kLongestPause = 64;

  void pauseLonger() {
    pause_ = std::min(std::max(pause_ * 2, 1u), kLongestPause);
    skip_ = pause_;
  }
  void endPause() { pause_ = skip_ = 0; }

  uint32_t pause_ = 0;  // turns without another look after the latest that found nothing
  uint32_t skip_ = 0;   // of them to come
};

}  // namespace gammaloop
