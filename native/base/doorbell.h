// Doorbell: wakes whoever waits for work or for results, whichever way that one waits (libuv's loop, a condition).
// Any number of rings before the sleeper answers are one. Thread: ring() from any.
#pragma once

namespace gammaloop {

class Doorbell {
 public:
  virtual ~Doorbell() = default;
  // Never blocks for long, never fails; does nothing once the sleeper has gone.
  virtual void ring() noexcept = 0;
};

}  // namespace gammaloop
