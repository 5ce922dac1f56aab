// SelectorWrap: a Selector as JavaScript has it, with its watch on the environment's loop.
//
// Teardown: close(), or the end of the environment, gives up the poller at once; the environment is let go when libuv
// has let go of the handles. Owns both. Thread: the environment's.
#pragma once

#include <napi.h>

#include <memory>

#include "selector/loop_watch.h"

namespace gammaloop {

class SelectorWrap final : public Napi::ObjectWrap<SelectorWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  static Napi::Value wakeById(const Napi::CallbackInfo& info);
  // new Selector(poller: 'auto' | 'epoll' | 'kqueue' | 'poll' | 'uv', ready: Uint32Array (pairs of descriptor and
  //              readiness), onReady: (count: number) => void; negative: an errno)
  explicit SelectorWrap(const Napi::CallbackInfo& info);
  ~SelectorWrap() override;

 private:
  Napi::Value add(const Napi::CallbackInfo& info);
  Napi::Value modify(const Napi::CallbackInfo& info);
  Napi::Value remove(const Napi::CallbackInfo& info);
  Napi::Value wait(const Napi::CallbackInfo& info);
  Napi::Value wasWoken(const Napi::CallbackInfo& info);
  Napi::Value setArmed(const Napi::CallbackInfo& info);
  void setReferenced(const Napi::CallbackInfo& info);
  void wake(const Napi::CallbackInfo& info);
  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value pollerName(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  int waitFor(int timeoutMs);
  void onReady();
  void tearDown();

  Napi::FunctionReference onReady_;
  Napi::ObjectReference memory_;  // keeps the array alive that ready_ is in
  std::span<ReadyDescriptor> ready_;
  std::unique_ptr<Selector> selector_;
  std::unique_ptr<LoopWatch> watch_;
  napi_async_cleanup_hook_handle cleanupHook_ = nullptr;
};

}  // namespace gammaloop
