#include "addon/selector_wrap.h"

#include <cerrno>

#include "addon/call.h"
#include "addon/values.h"

namespace gammaloop {

namespace {

Result<std::unique_ptr<Poller>> makeBestPoller() {
  if (Result<std::unique_ptr<Poller>> epoll = makeEpollPoller()) return epoll;
  if (Result<std::unique_ptr<Poller>> kqueue = makeKqueuePoller()) return kqueue;
  return makePollPoller();
}

Selector::MakePoller makerOf(const std::string& name) {
  if (name == "epoll") return makeEpollPoller;
  if (name == "kqueue") return makeKqueuePoller;
  if (name == "poll") return makePollPoller;
  if (name == "uv") return makeOwnLoopUvPoller;
  return makeBestPoller;
}

int descriptorOf(const Napi::CallbackInfo& info) { return info[0].As<Napi::Number>().Int32Value(); }
Interest interestOf(const Napi::CallbackInfo& info) { return static_cast<Interest>(uint32Of(info[1]) & 3); }

// 0, or a negative errno.
Napi::Value statusOf(Napi::Env env, const Result<void>& result) {
  return Napi::Number::New(env, result ? 0 : -result.error().code);
}

}  // namespace

Napi::Function SelectorWrap::define(Napi::Env env) {
  return DefineClass(env, "Selector",
                     {
                         InstanceMethod<&SelectorWrap::add>("add"),
                         InstanceMethod<&SelectorWrap::modify>("modify"),
                         InstanceMethod<&SelectorWrap::remove>("remove"),
                         InstanceMethod<&SelectorWrap::wait>("wait"),
                         InstanceMethod<&SelectorWrap::wasWoken>("wasWoken"),
                         InstanceMethod<&SelectorWrap::setArmed>("setArmed"),
                         InstanceMethod<&SelectorWrap::setReferenced>("setReferenced"),
                         InstanceMethod<&SelectorWrap::wake>("wake"),
                         InstanceMethod<&SelectorWrap::id>("id"),
                         InstanceMethod<&SelectorWrap::pollerName>("pollerName"),
                         InstanceMethod<&SelectorWrap::close>("close"),
                     });
}

Napi::Value SelectorWrap::wakeById(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), Selector::wake(uint32Of(info[0])));
}

SelectorWrap::SelectorWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SelectorWrap>(info) {
  if (IsEmpty()) return;  // nothing can be wrapped any more: the environment is being terminated
  const Napi::Env env = info.Env();
  uv_loop_s* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    throwSysError(env, {"napi_get_uv_event_loop", ENOSYS});
    return;
  }
  Result<std::unique_ptr<Selector>> selector = Selector::open(makerOf(info[0].As<Napi::String>().Utf8Value()));
  if (!selector) {
    throwSysError(env, selector.error());
    return;
  }
  auto words = info[1].As<Napi::Uint32Array>();
  memory_ = Napi::Persistent(words.As<Napi::Object>());
  ready_ = {reinterpret_cast<ReadyDescriptor*>(words.Data()), words.ElementLength() / 2};
  onReady_ = Napi::Persistent(info[2].As<Napi::Function>());
  selector_ = std::move(selector.value());
  watch_ = std::make_unique<LoopWatch>(loop, *selector_, [this] { onReady(); });
  Ref();  // the loop's callbacks point here: no garbage collection before tearDown
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle handle, void* self) {
        auto* wrap = static_cast<SelectorWrap*>(self);
        wrap->cleanupHook_ = handle;
        wrap->tearDown();
      },
      this, &cleanupHook_);
}

SelectorWrap::~SelectorWrap() = default;

void SelectorWrap::tearDown() {
  if (selector_ == nullptr) return;
  watch_->close([this] {
    watch_.reset();
    if (cleanupHook_ != nullptr) napi_remove_async_cleanup_hook(cleanupHook_);
    cleanupHook_ = nullptr;
    Unref();
  });
  selector_.reset();
}

// Methods. JavaScript calls none of them after close().

// (fd, interest) to 0, or a negative errno
Napi::Value SelectorWrap::add(const Napi::CallbackInfo& info) {
  watch_->reclaim();
  return statusOf(info.Env(), selector_->add(descriptorOf(info), interestOf(info)));
}

Napi::Value SelectorWrap::modify(const Napi::CallbackInfo& info) {
  watch_->reclaim();
  return statusOf(info.Env(), selector_->modify(descriptorOf(info), interestOf(info)));
}

Napi::Value SelectorWrap::remove(const Napi::CallbackInfo& info) {
  watch_->reclaim();
  return statusOf(info.Env(), selector_->remove(descriptorOf(info)));
}

// (timeoutMs) to the number of pairs in the array, or a negative errno. Blocks.
Napi::Value SelectorWrap::wait(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), waitFor(info[0].As<Napi::Number>().Int32Value()));
}

Napi::Value SelectorWrap::wasWoken(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), selector_->wasWoken());
}

int SelectorWrap::waitFor(int timeoutMs) {
  watch_->reclaim();
  const Result<size_t> count = selector_->wait(ready_, timeoutMs);
  if (!count) return -count.error().code;
  if (watch_->isArmed()) {
    if (const Result<void> followed = watch_->follow(); !followed) return -followed.error().code;
  }
  return static_cast<int>(count.value());
}

void SelectorWrap::onReady() {
  const int count = waitFor(0);
  if (count == 0 && !selector_->wasWoken()) return;
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  napi_value argument;
  if (napi_create_int32(env, count, &argument) != napi_ok) return;
  callFromLoop(env, Value(), onReady_.Value(), {argument});
}

// (armed) to 0, or a negative errno: whether onReady is called by the loop, which is kept alive for it.
Napi::Value SelectorWrap::setArmed(const Napi::CallbackInfo& info) {
  watch_->reclaim();
  if (info[0].ToBoolean()) {
    if (const Result<void> followed = watch_->follow(); !followed) return statusOf(info.Env(), followed);
    watch_->setArmed(true);
  } else {
    watch_->setArmed(false);
  }
  return statusOf(info.Env(), {});
}

void SelectorWrap::setReferenced(const Napi::CallbackInfo& info) { watch_->setReferenced(info[0].ToBoolean()); }

void SelectorWrap::wake(const Napi::CallbackInfo&) { selector_->wake(); }

Napi::Value SelectorWrap::id(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), selector_->id()); }

Napi::Value SelectorWrap::pollerName(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), selector_->poller().name());
}

void SelectorWrap::close(const Napi::CallbackInfo&) { tearDown(); }

}  // namespace gammaloop
