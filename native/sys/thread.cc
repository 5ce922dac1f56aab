#include "sys/thread.h"

#include <pthread.h>

#include <utility>

#include "base/check.h"

namespace gammaloop {

struct Thread::Handle {
  pthread_t thread{};
  std::function<void()> body;
};

Thread::Thread(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
Thread::~Thread() { join(); }

Result<std::unique_ptr<Thread>> Thread::start(std::function<void()> body, size_t stackBytes) {
  auto handle = std::make_unique<Handle>();
  handle->body = std::move(body);
  pthread_attr_t attributes;
  if (const int code = ::pthread_attr_init(&attributes); code != 0) return SysError{"pthread_attr_init", code};
  // Refused only for sizes that the system does not allow: then its default is what there is.
  (void)::pthread_attr_setstacksize(&attributes, stackBytes);
  const auto entry = [](void* self) -> void* {
    static_cast<Handle*>(self)->body();
    return nullptr;
  };
  const int code = ::pthread_create(&handle->thread, &attributes, entry, handle.get());
  ::pthread_attr_destroy(&attributes);
  if (code != 0) return SysError{"pthread_create", code};
  return std::unique_ptr<Thread>(new Thread(std::move(handle)));
}

void Thread::join() {
  if (handle_ == nullptr) return;
  GAMMALOOP_CHECK(::pthread_join(handle_->thread, nullptr) == 0);
  handle_.reset();
}

}  // namespace gammaloop
