#include "reactor/inline_driver.h"

#include <chrono>

namespace gammaloop {

namespace {
int64_t monotonicMs() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}
}  // namespace

InlineDriver::InlineDriver(uv_loop_s* loop, Poller& poller, Callbacks callbacks)
    : loop_(loop), poller_(poller), callbacks_(std::move(callbacks)) {}

Result<void> InlineDriver::start() {
  const bool hasDescriptor = poller_.backendFd() >= 0;
  UvLoopHooks::Callbacks hooks;
  hooks.readable = callbacks_.turn;
  hooks.prepare = callbacks_.settle;
  hooks.check = hasDescriptor ? callbacks_.settle : callbacks_.turn;
  hooks.timer = [this] {
    armedAtMs_ = -1;
    callbacks_.turn();
  };
  return hooks_.open(loop_, poller_.backendFd(), std::move(hooks));
}

void InlineDriver::setReferenced(bool referenced) {
  if (referenced_ == referenced) return;
  referenced_ = referenced;
  hooks_.setReferenced(referenced);
}

// The timer is set again only when it would come too late: coming too early costs one empty turn, setting it costs
// every turn.
void InlineDriver::wakeIn(int64_t delayMs) {
  if (delayMs < 0) return;
  const int64_t wantedMs = monotonicMs() + delayMs;
  if (armedAtMs_ >= 0 && armedAtMs_ <= wantedMs) return;
  armedAtMs_ = wantedMs;
  hooks_.startTimer(static_cast<uint64_t>(delayMs));
}

void InlineDriver::stop(std::function<void()> stopped) { hooks_.close(std::move(stopped)); }

}  // namespace gammaloop
