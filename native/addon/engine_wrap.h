// EngineWrap: the Engine class as JavaScript has it: converts values, raises errors, and tears everything down in the
// right order.
//
// Teardown: the environment's end (exit, or a worker that is terminated) closes every socket at once; the libuv handles
// follow, and only when the last of them has closed is the environment let go (async cleanup hook). From then on
// JavaScript is not called any more.
//
// Owns the engine, its driver and the references to the ring memory. Thread: the environment's.
#pragma once

#include <napi.h>

#include <memory>
#include <span>

#include "engine/engine.h"
#include "reactor/inline_driver.h"

namespace gammaloop {

class EngineWrap final : public Napi::ObjectWrap<EngineWrap> {
 public:
  static Napi::Function define(Napi::Env env);
  // new Engine(poller: 'auto' | 'epoll' | 'kqueue' | 'uv', completionControl: Uint32Array, completionData: Uint8Array,
  //            submissionControl: Uint32Array, submissionData: Uint8Array, onBatch: () => void)
  explicit EngineWrap(const Napi::CallbackInfo& info);
  ~EngineWrap() override;

 private:
  Napi::Value listen(const Napi::CallbackInfo& info);
  Napi::Value address(const Napi::CallbackInfo& info);
  void setReferenced(const Napi::CallbackInfo& info);
  void closeServer(const Napi::CallbackInfo& info);
  Napi::Value cutServer(const Napi::CallbackInfo& info);
  void forgetServer(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value peer(const Napi::CallbackInfo& info);
  void lend(const Napi::CallbackInfo& info);
  void flush(const Napi::CallbackInfo& info);
  void settle(const Napi::CallbackInfo& info);
  Napi::Value pollerName(const Napi::CallbackInfo& info);
  void measurePhases(const Napi::CallbackInfo& info);
  Napi::Value phaseTimes(const Napi::CallbackInfo& info);

  // Wire sessions, and connections from elsewhere (engine_wrap_wire.cc).
  Napi::Value openServer(const Napi::CallbackInfo& info);
  void listenOn(const Napi::CallbackInfo& info);
  void stopListening(const Napi::CallbackInfo& info);
  void configure(const Napi::CallbackInfo& info);
  void closeIdle(const Napi::CallbackInfo& info);
  Napi::Value adopt(const Napi::CallbackInfo& info);
  Napi::Value connect(const Napi::CallbackInfo& info);
  Napi::Value openFed(const Napi::CallbackInfo& info);
  void feed(const Napi::CallbackInfo& info);
  void feedEnd(const Napi::CallbackInfo& info);
  void feedClosed(const Napi::CallbackInfo& info);
  Napi::Value wireSent(const Napi::CallbackInfo& info);
  using QuickFunction = uint32_t (EngineWrap::*)(SlabKey key, std::span<uint8_t> memory, uint32_t number);
  void defineQuickFunctions(Napi::Object self);
  static napi_value quickly(napi_env env, napi_callback_info info, QuickFunction function);
  uint32_t sendNow(SlabKey key, std::span<uint8_t> bytes, uint32_t position);
  uint32_t receive(SlabKey key, std::span<uint8_t> memory, uint32_t most);
  Napi::Value wireReceived(const Napi::CallbackInfo& info);
  Napi::Value wireReceiving(const Napi::CallbackInfo& info);
  Napi::Value release(const Napi::CallbackInfo& info);
  Napi::Value connectionFd(const Napi::CallbackInfo& info);
  Napi::Value setNoDelay(const Napi::CallbackInfo& info);
  Napi::Value setKeepAlive(const Napi::CallbackInfo& info);
  void setConnectionReferenced(const Napi::CallbackInfo& info);

  // WebSockets (engine_wrap_wire.cc).
  Napi::Value queuedBytes(const Napi::CallbackInfo& info);
  Napi::Value subscriberCount(const Napi::CallbackInfo& info);

  bool hasServer(const Napi::CallbackInfo& info) const;
  Connection* connectionOf(const Napi::CallbackInfo& info);
  void callBatch();
  void tearDown();

  Napi::FunctionReference onBatch_;
  Napi::ObjectReference memory_;  // keeps the arrays alive that the rings are in, and what was lent
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<InlineDriver> driver_;
  napi_async_cleanup_hook_handle cleanupHook_ = nullptr;
  bool calling_ = false;
};

}  // namespace gammaloop
