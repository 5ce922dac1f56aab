#include "sys/uv_doorbell.h"

#include <uv.h>

#include <chrono>
#include <utility>

namespace gammaloop {

struct UvDoorbell::Handle {
  uv_async_t async;
  UvDoorbell* owner;  // nullptr once closing
  std::function<void()> rung;
  std::function<void()> closed;
};

Result<void> UvDoorbell::open(uv_loop_s* loop, std::function<void()> rung) {
  auto* handle = new Handle{{}, this, std::move(rung), {}};
  const int status = uv_async_init(loop, &handle->async, [](uv_async_t* async) {
    auto* self = static_cast<Handle*>(async->data);
    if (self->owner == nullptr) return;
    // Before the callback: what is rung from here on gets a callback of its own.
    self->owner->state_.exchange(kQuiet, std::memory_order_acq_rel);
    self->rung();
  });
  if (status != 0) {
    delete handle;
    return SysError{"uv_async_init", -status};
  }
  handle->async.data = handle;
  uv_unref(reinterpret_cast<uv_handle_t*>(&handle->async));
  handle_ = handle;
  return {};
}

void UvDoorbell::setReferenced(bool referenced) {
  if (handle_ == nullptr) return;
  auto* handle = reinterpret_cast<uv_handle_t*>(&handle_->async);
  if (referenced) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

void UvDoorbell::ring() noexcept {
  if (state_.exchange(kRung, std::memory_order_acq_rel) != kQuiet) return;
  const std::lock_guard lock(mutex_);
  if (handle_ != nullptr) uv_async_send(&handle_->async);  // fails only for handles that are no async handles
}

bool UvDoorbell::poll(uint64_t spinNs) {
  uint32_t expected = kQuiet;
  // Rung already: the callback is on its way and will find nothing to do.
  if (!state_.compare_exchange_strong(expected, kPolled, std::memory_order_acq_rel)) return true;
  const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(spinNs);
  while (state_.load(std::memory_order_acquire) == kPolled && std::chrono::steady_clock::now() < end) {
  }
  return state_.exchange(kQuiet, std::memory_order_acq_rel) == kRung;
}

void UvDoorbell::close(std::function<void()> closed) {
  Handle* handle;
  {
    const std::lock_guard lock(mutex_);
    handle = std::exchange(handle_, nullptr);
  }
  if (handle == nullptr) {
    if (closed) closed();
    return;
  }
  handle->owner = nullptr;
  handle->closed = std::move(closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&handle->async), [](uv_handle_t* async) {
    auto* self = static_cast<Handle*>(async->data);
    const std::function<void()> done = std::move(self->closed);
    delete self;
    if (done) done();
  });
}

}  // namespace gammaloop
