// InlineDriver: the engine on Node's own loop. The poller's descriptor is watched once by libuv; when it turns
// readable, one turn is run. A prepare hook sends what timers, immediates and other I/O have answered before the loop
// blocks, a check hook what I/O callbacks have. A poller without a descriptor of its own (uv) lives on the loop itself,
// and its turn is run by the check hook. Owned by the addon. Thread: the loop's.
#pragma once

#include <functional>
#include <memory>

#include "reactor/driver.h"
#include "sys/poller.h"
#include "sys/uv_loop.h"

namespace gammaloop {

class InlineDriver final : public Driver {
 public:
  struct Callbacks {
    std::function<void()> turn;    // Reactor::runOnce(0) and what belongs to it
    std::function<void()> settle;  // the later half, if there is anything
  };

  InlineDriver(uv_loop_s* loop, Poller& poller, Callbacks callbacks);

  Result<void> start() override;
  void setReferenced(bool referenced) override;
  void wakeIn(int64_t delayMs) override;
  void stop(std::function<void()> stopped) override;

 private:
  uv_loop_s* loop_;
  Poller& poller_;
  Callbacks callbacks_;
  UvLoopHooks hooks_;
  int64_t armedAtMs_ = -1;  // the instant the timer is set to; -1: it is not
  bool referenced_ = false;
};

}  // namespace gammaloop
