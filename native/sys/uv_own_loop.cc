// The uv poller on a libuv loop of its own, for who has none to lend or may not run it (Node's is running already).
// wait() runs the loop. What is changed is told to the kernel at once, so that backendFd() can be watched.
//
// Owns: the loop, and the UvPoller on it. Thread: as in poller.h.
#include <uv.h>

#include <array>
#include <atomic>
#include <memory>

#include "base/check.h"
#include "sys/poller.h"

namespace gammaloop {

namespace {

class OwnLoopUvPoller final : public Poller {
 public:
  ~OwnLoopUvPoller() override {
    inner_.reset();
    if (!isOpen_) return;
    uv_close(reinterpret_cast<uv_handle_t*>(&anchor_), nullptr);
    uv_run(&loop_, UV_RUN_DEFAULT);  // the close callbacks; nothing else is left
    GAMMALOOP_CHECK(uv_loop_close(&loop_) == 0);
  }

  Result<void> open() {
    if (const int status = uv_loop_init(&loop_); status != 0) return SysError{"uv_loop_init", -status};
    // A loop that nothing keeps alive does not poll, and so tells the kernel nothing.
    if (const int status = uv_async_init(&loop_, &anchor_, nullptr); status != 0) {
      GAMMALOOP_CHECK(uv_loop_close(&loop_) == 0);
      return SysError{"uv_async_init", -status};
    }
    isOpen_ = true;
    Result<std::unique_ptr<Poller>> inner = makeUvPoller(&loop_);
    if (!inner) return inner.error();
    inner_ = std::move(inner.value());
    publish();
    return {};
  }

  const char* name() const override { return inner_->name(); }

  Result<void> add(int fd, Interest interest, Token token) override {
    return published(inner_->add(fd, interest, token));
  }
  Result<void> modify(int fd, Interest interest, Token token) override {
    return published(inner_->modify(fd, interest, token));
  }
  Result<void> remove(int fd) override { return published(inner_->remove(fd)); }

  Result<size_t> wait(std::span<ReadyEvent> events, int timeoutMs) override {
    if (timeoutMs != 0 && !isWoken_.exchange(false, std::memory_order_acq_rel)) {
      Result<size_t> count = inner_->wait(events, timeoutMs);
      isWoken_.store(false, std::memory_order_release);
      return count;
    }
    isWoken_.store(false, std::memory_order_release);
    uv_run(&loop_, UV_RUN_NOWAIT);
    return inner_->wait(events, 0);
  }

  void wake() noexcept override {
    isWoken_.store(true, std::memory_order_release);
    inner_->wake();
  }

  int backendFd() const override { return uv_backend_fd(&loop_); }

 private:
  Result<void> published(Result<void> changed) {
    publish();
    return changed;
  }

  // libuv tells the kernel of changes when it polls. What that collects is forgotten: it is level-triggered, and comes
  // again. A wake-up that it has taken is sent again.
  void publish() {
    uv_run(&loop_, UV_RUN_NOWAIT);
    std::array<ReadyEvent, 64> forgotten;
    for (Result<size_t> count = forgotten.size(); count && count.value() == forgotten.size();) {
      count = inner_->wait(forgotten, 0);
    }
    if (isWoken_.load(std::memory_order_acquire)) inner_->wake();
  }

  uv_loop_t loop_ = {};
  uv_async_t anchor_ = {};
  std::unique_ptr<Poller> inner_;
  std::atomic<bool> isWoken_{false};
  bool isOpen_ = false;
};

}  // namespace

Result<std::unique_ptr<Poller>> makeOwnLoopUvPoller() {
  auto poller = std::make_unique<OwnLoopUvPoller>();
  if (auto opened = poller->open(); !opened) return opened.error();
  return std::unique_ptr<Poller>(std::move(poller));
}

}  // namespace gammaloop
