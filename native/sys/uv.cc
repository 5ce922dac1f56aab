// UvPoller: libuv's uv_poll on a loop that belongs to somebody else (Node's). The callbacks collect while the loop
// runs; wait(events, 0) hands over what they collected and never runs the loop. A driver calls it from a check hook,
// which runs after the callbacks of each iteration, so nothing has to tell it that there is something.
//
// Owns: one handle a watched descriptor, an async (the waker), a timer. All are unreferenced: whether the process stays
// alive is the driver's to say. libuv frees no handle before its close callback, so they are freed there, and outlive
// their poller where it is destroyed first: Watch::owner is null from then on.
// Thread: the loop's, but for wake().
#include <fcntl.h>
#include <uv.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "sys/poller.h"

namespace gammaloop {

namespace {

class UvPoller;

// One watched descriptor. Freed by the close callback of its handle.
struct Watch {
  uv_poll_t handle = {};
  UvPoller* owner = nullptr;
  int fd = -1;
  Token token = 0;
  Interest interest = Interest::None;
  uint8_t collected = 0;      // readiness that no wait() has handed over yet
  bool isListed = false;      // in UvPoller::ready_
  bool needsRestart = false;  // libuv stops a handle when it reports an error
};

// The handles that a poller has once. Freed when both are closed.
struct Common {
  uv_async_t async = {};
  uv_timer_t timer = {};
  UvPoller* owner = nullptr;
  int openCount = 0;
};

int toUvEvents(Interest interest) {
  int events = 0;
  if (static_cast<uint8_t>(interest) & static_cast<uint8_t>(Interest::Read)) events |= UV_READABLE;
  if (static_cast<uint8_t>(interest) & static_cast<uint8_t>(Interest::Write)) events |= UV_WRITABLE;
  return events;
}

uint8_t toReadiness(int status, int events) {
  // libuv does not say which error; the next read or write does.
  if (status < 0) return Readiness::kError;
  uint8_t readiness = 0;
  if (events & UV_READABLE) readiness |= Readiness::kReadable;
  if (events & UV_WRITABLE) readiness |= Readiness::kWritable;
  return readiness;
}

template <typename Handle>
uv_handle_t* base(Handle& handle) {
  return reinterpret_cast<uv_handle_t*>(&handle);
}

void closeWatch(Watch* watch) {
  watch->owner = nullptr;
  uv_close(base(watch->handle), [](uv_handle_t* handle) { delete static_cast<Watch*>(handle->data); });
}

void onCommonClosed(uv_handle_t* handle) {
  auto* common = static_cast<Common*>(handle->data);
  if (--common->openCount == 0) delete common;
}

class UvPoller final : public Poller {
 public:
  explicit UvPoller(uv_loop_t* loop) : loop_(loop) {}

  ~UvPoller() override {
    for (const auto& [fd, watch] : watches_) closeWatch(watch);
    if (common_ == nullptr) return;
    common_->owner = nullptr;
    uv_close(base(common_->async), onCommonClosed);
    uv_close(base(common_->timer), onCommonClosed);
  }

  Result<void> open() {
    auto common = std::make_unique<Common>();
    const int status = uv_async_init(loop_, &common->async, [](uv_async_t* handle) {
      if (UvPoller* owner = static_cast<Common*>(handle->data)->owner) owner->isInterrupted_ = true;
    });
    if (status != 0) return SysError{"uv_async_init", -status};
    uv_timer_init(loop_, &common->timer);  // cannot fail
    common->async.data = common.get();
    common->timer.data = common.get();
    common->owner = this;
    common->openCount = 2;
    uv_unref(base(common->async));
    uv_unref(base(common->timer));
    common_ = common.release();
    return {};
  }

  const char* name() const override { return "uv"; }

  Result<void> add(int fd, Interest interest, Token token) override {
    if (fd < 0) return SysError{"uv_poll_init", EBADF};  // libuv takes the number for an index
    if (watches_.contains(fd)) return SysError{"uv_poll_init", EEXIST};
    auto watch = std::make_unique<Watch>();
    // uv_poll_init_socket is uv_poll_init on Unix; on Windows sockets are all that can be polled.
    const int status = uv_poll_init_socket(loop_, &watch->handle, static_cast<uv_os_sock_t>(fd));
    if (status != 0) return SysError{"uv_poll_init", -status};
    watch->handle.data = watch.get();
    watch->owner = this;
    watch->fd = fd;
    watch->token = token;
    uv_unref(base(watch->handle));
    Watch* added = watch.release();
    if (auto changed = setInterest(added, interest); !changed) {
      closeWatch(added);
      return changed;
    }
    watches_.emplace(fd, added);
    return {};
  }

  Result<void> modify(int fd, Interest interest, Token token) override {
    const auto found = watches_.find(fd);
    if (found == watches_.end()) return SysError{"uv_poll_start", ENOENT};
    Watch* watch = found->second;
    if (auto changed = setInterest(watch, interest); !changed) return changed;
    watch->token = token;
    // What was collected under the old interest is not told under the new one.
    uint8_t kept = Readiness::kError | Readiness::kHangup;
    if (toUvEvents(interest) & UV_READABLE) kept |= Readiness::kReadable;
    if (toUvEvents(interest) & UV_WRITABLE) kept |= Readiness::kWritable;
    watch->collected &= kept;
    return {};
  }

  Result<void> remove(int fd) override {
    const auto found = watches_.find(fd);
    if (found == watches_.end()) return SysError{"uv_poll_stop", ENOENT};
    Watch* watch = found->second;
    watches_.erase(found);
    if (watch->isListed) std::erase(ready_, watch);
    if (watch->needsRestart) std::erase(stopped_, watch);
    closeWatch(watch);
    return {};
  }

  Result<size_t> wait(std::span<ReadyEvent> events, int timeoutMs) override {
    GAMMALOOP_CHECK(!events.empty());
    if (timeoutMs != 0 && ready_.empty()) runLoop(timeoutMs);
    isInterrupted_ = false;
    const size_t count = std::min(events.size(), ready_.size());
    size_t filled = 0;
    for (size_t i = 0; i < count; i++) {
      Watch* watch = ready_[i];
      watch->isListed = false;
      const uint8_t readiness = std::exchange(watch->collected, uint8_t{0});
      if (readiness != 0) events[filled++] = ReadyEvent{watch->token, readiness};
    }
    ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(count));
    // At once, so that the loop reports an error again that stays: level-triggered.
    restartStopped();
    return filled;
  }

  void wake() noexcept override {
    // Fails only on a handle that is closing, and nobody may call this then. libuv folds many into one.
    (void)uv_async_send(&common_->async);
  }

 private:
  static void onPoll(uv_poll_t* handle, int status, int events) {
    auto* watch = static_cast<Watch*>(handle->data);
    if (watch->owner != nullptr) watch->owner->collect(watch, status, events);
  }

  void collect(Watch* watch, int status, int events) {
    if (status < 0 && !watch->needsRestart) {
      watch->needsRestart = true;
      stopped_.push_back(watch);
    }
    // Merged, however often the loop runs before the next wait: one event a descriptor.
    if (!std::exchange(watch->isListed, true)) ready_.push_back(watch);
    watch->collected |= toReadiness(status, events);
  }

  Result<void> setInterest(Watch* watch, Interest interest) {
    const int events = toUvEvents(interest);
    const int status = events == 0 ? uv_poll_stop(&watch->handle) : uv_poll_start(&watch->handle, events, onPoll);
    if (status != 0) return SysError{"uv_poll_start", -status};
    watch->interest = interest;
    return {};
  }

  void restartStopped() {
    for (Watch* watch : std::exchange(stopped_, {})) {
      watch->needsRestart = false;
      // libuv aborts the process when it polls a number that names nothing, so an owner who closed it first is spared.
      if (::fcntl(watch->fd, F_GETFD) < 0) continue;
      // It was started before with the same arguments; where it fails all the same, the error was reported already.
      (void)setInterest(watch, watch->interest);
    }
  }

  // For a caller who owns the loop: runs it until something is collected, wake() was called, or the time is over.
  void runLoop(int timeoutMs) {
    if (isInterrupted_) return;
    if (timeoutMs > 0) {
      uv_update_time(loop_);  // the loop's clock stands still while nobody runs it
      uv_timer_start(
          &common_->timer,
          [](uv_timer_t* handle) {
            if (UvPoller* owner = static_cast<Common*>(handle->data)->owner) owner->isInterrupted_ = true;
          },
          static_cast<uint64_t>(timeoutMs), 0);
    }
    // The loop blocks only while it has a referenced handle.
    uv_ref(base(common_->async));
    while (ready_.empty() && !isInterrupted_) uv_run(loop_, UV_RUN_ONCE);
    uv_unref(base(common_->async));
    uv_timer_stop(&common_->timer);
  }

  uv_loop_t* loop_;
  Common* common_ = nullptr;
  std::unordered_map<int, Watch*> watches_;
  std::vector<Watch*> ready_;    // with something collected, in order of arrival
  std::vector<Watch*> stopped_;  // to be started again
  bool isInterrupted_ = false;   // by wake() or the timeout
};

}  // namespace

Result<std::unique_ptr<Poller>> makeUvPoller(uv_loop_s* loop) {
  auto poller = std::make_unique<UvPoller>(loop);
  if (auto opened = poller->open(); !opened) return opened.error();
  return std::unique_ptr<Poller>(std::move(poller));
}

}  // namespace gammaloop
