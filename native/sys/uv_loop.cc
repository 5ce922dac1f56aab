#include "sys/uv_loop.h"

#include <uv.h>

#include <utility>

namespace gammaloop {

struct UvLoopHooks::Handles {
  uv_poll_t poll;
  uv_async_t anchor;  // stands in for the watch where nothing is watched
  uv_prepare_t prepare;
  uv_check_t check;
  uv_timer_t timer;
  Callbacks callbacks;
  std::function<void()> closed;
  bool watching = false;
  int open = 0;

  template <typename Handle>
  void adopt(Handle& handle) {
    handle.data = this;
    open++;
  }

  template <typename Handle>
  static Handles& of(Handle* handle) {
    return *static_cast<Handles*>(handle->data);
  }

  static void onHandleClosed(uv_handle_t* handle) {
    Handles& self = of(handle);
    if (--self.open != 0) return;
    const std::function<void()> closed = std::move(self.closed);
    delete &self;
    if (closed) closed();
  }

  int startWatch() {
    return uv_poll_start(&poll, UV_READABLE, [](uv_poll_t* handle, int, int) { of(handle).callbacks.readable(); });
  }

  template <typename Handle>
  void close(Handle& handle) {
    uv_close(reinterpret_cast<uv_handle_t*>(&handle), onHandleClosed);
  }
};

Result<void> UvLoopHooks::open(uv_loop_s* loop, int fd, Callbacks callbacks) {
  handles_ = new Handles();
  Handles& handles = *handles_;
  handles.callbacks = std::move(callbacks);
  handles.watching = fd >= 0;
  // Initialisation of prepare, check and timer cannot fail (libuv's documentation); the watch and the anchor can.
  const int status = handles.watching ? uv_poll_init(loop, &handles.poll, fd)
                                      : uv_async_init(loop, &handles.anchor, [](uv_async_t*) {});
  if (status != 0) {
    delete std::exchange(handles_, nullptr);
    return SysError{fd >= 0 ? "uv_poll_init" : "uv_async_init", -status};
  }
  if (handles.watching) {
    handles.adopt(handles.poll);
  } else {
    handles.adopt(handles.anchor);
  }
  uv_prepare_init(loop, &handles.prepare);
  handles.adopt(handles.prepare);
  uv_check_init(loop, &handles.check);
  handles.adopt(handles.check);
  uv_timer_init(loop, &handles.timer);
  handles.adopt(handles.timer);

  int started =
      uv_prepare_start(&handles.prepare, [](uv_prepare_t* handle) { Handles::of(handle).callbacks.prepare(); });
  if (started == 0)
    started = uv_check_start(&handles.check, [](uv_check_t* handle) { Handles::of(handle).callbacks.check(); });
  if (started == 0 && handles.watching) started = handles.startWatch();
  uv_unref(reinterpret_cast<uv_handle_t*>(&handles.prepare));
  uv_unref(reinterpret_cast<uv_handle_t*>(&handles.check));
  uv_unref(reinterpret_cast<uv_handle_t*>(&handles.timer));
  setReferenced(false);
  if (started == 0) return {};
  close({});
  return SysError{"uv_poll_start", -started};
}

void UvLoopHooks::setReferenced(bool referenced) {
  if (handles_ == nullptr) return;
  auto* handle = handles_->watching ? reinterpret_cast<uv_handle_t*>(&handles_->poll)
                                    : reinterpret_cast<uv_handle_t*>(&handles_->anchor);
  if (referenced) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

void UvLoopHooks::setWatching(bool watching) {
  if (handles_ == nullptr || !handles_->watching) return;
  if (watching) {
    (void)handles_->startWatch();  // it was started before with the same arguments
  } else {
    uv_poll_stop(&handles_->poll);
  }
}

void UvLoopHooks::startTimer(uint64_t delayMs) {
  if (handles_ == nullptr) return;
  // Fails only without a callback or while closing (libuv's documentation).
  uv_timer_start(
      &handles_->timer, [](uv_timer_t* handle) { Handles::of(handle).callbacks.timer(); }, delayMs, 0);
}

void UvLoopHooks::stopTimer() {
  if (handles_ != nullptr) uv_timer_stop(&handles_->timer);
}

void UvLoopHooks::close(std::function<void()> closed) {
  Handles* handles = std::exchange(handles_, nullptr);
  if (handles == nullptr) {
    if (closed) closed();
    return;
  }
  handles->closed = std::move(closed);
  if (handles->watching) {
    handles->close(handles->poll);
  } else {
    handles->close(handles->anchor);
  }
  handles->close(handles->prepare);
  handles->close(handles->check);
  handles->close(handles->timer);
}

}  // namespace gammaloop
