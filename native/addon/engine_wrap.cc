#include "addon/engine_wrap.h"

#include <cerrno>

#include "addon/call.h"
#include "addon/values.h"

namespace gammaloop {

namespace {

Result<std::unique_ptr<Poller>> makePoller(const std::string& name, uv_loop_s* loop) {
  if (name == "uv") return makeUvPoller(loop);
  if (name == "epoll") return makeEpollPoller();
  if (name == "kqueue") return makeKqueuePoller();
  if (Result<std::unique_ptr<Poller>> epoll = makeEpollPoller()) return epoll;
  if (Result<std::unique_ptr<Poller>> kqueue = makeKqueuePoller()) return kqueue;
  return makeUvPoller(loop);
}

uint32_t indexOf(const Napi::CallbackInfo& info) { return uint32Of(info[0]); }

constexpr uint32_t kLentMemory = 8;  // indices in memory_ from here on

}  // namespace

Napi::Function EngineWrap::define(Napi::Env env) {
  return DefineClass(env, "Engine",
                     {
                         InstanceMethod<&EngineWrap::listen>("listen"),
                         InstanceMethod<&EngineWrap::address>("address"),
                         InstanceMethod<&EngineWrap::setReferenced>("setReferenced"),
                         InstanceMethod<&EngineWrap::closeServer>("closeServer"),
                         InstanceMethod<&EngineWrap::cutServer>("cutServer"),
                         InstanceMethod<&EngineWrap::forgetServer>("forgetServer"),
                         InstanceMethod<&EngineWrap::stats>("stats"),
                         InstanceMethod<&EngineWrap::peer>("peer"),
                         InstanceMethod<&EngineWrap::lend>("lend"),
                         InstanceMethod<&EngineWrap::flush>("flush"),
                         InstanceMethod<&EngineWrap::settle>("settle"),
                         InstanceMethod<&EngineWrap::pollerName>("pollerName"),
                         InstanceMethod<&EngineWrap::measurePhases>("measurePhases"),
                         InstanceMethod<&EngineWrap::phaseTimes>("phaseTimes"),
                         InstanceMethod<&EngineWrap::openServer>("openServer"),
                         InstanceMethod<&EngineWrap::listenOn>("listenOn"),
                         InstanceMethod<&EngineWrap::stopListening>("stopListening"),
                         InstanceMethod<&EngineWrap::configure>("configure"),
                         InstanceMethod<&EngineWrap::closeIdle>("closeIdle"),
                         InstanceMethod<&EngineWrap::adopt>("adopt"),
                         InstanceMethod<&EngineWrap::connect>("connect"),
                         InstanceMethod<&EngineWrap::openFed>("openFed"),
                         InstanceMethod<&EngineWrap::feed>("feed"),
                         InstanceMethod<&EngineWrap::feedEnd>("feedEnd"),
                         InstanceMethod<&EngineWrap::feedClosed>("feedClosed"),
                         InstanceMethod<&EngineWrap::wireSent>("wireSent"),
                         InstanceMethod<&EngineWrap::wireReceived>("wireReceived"),
                         InstanceMethod<&EngineWrap::wireReceiving>("wireReceiving"),
                         InstanceMethod<&EngineWrap::release>("release"),
                         InstanceMethod<&EngineWrap::connectionFd>("connectionFd"),
                         InstanceMethod<&EngineWrap::setNoDelay>("setNoDelay"),
                         InstanceMethod<&EngineWrap::setKeepAlive>("setKeepAlive"),
                         InstanceMethod<&EngineWrap::setConnectionReferenced>("setConnectionReferenced"),
                         InstanceMethod<&EngineWrap::queuedBytes>("queuedBytes"),
                         InstanceMethod<&EngineWrap::subscriberCount>("subscriberCount"),
                     });
}

EngineWrap::EngineWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineWrap>(info) {
  if (IsEmpty()) return;  // nothing can be wrapped any more: the environment is being terminated
  const Napi::Env env = info.Env();
  uv_loop_s* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    throwSysError(env, {"napi_get_uv_event_loop", ENOSYS});
    return;
  }
  Result<std::unique_ptr<Poller>> poller = makePoller(info[0].As<Napi::String>().Utf8Value(), loop);
  if (!poller) {
    throwSysError(env, poller.error());
    return;
  }

  Napi::Object memory = Napi::Object::New(env);
  for (uint32_t i = 1; i <= 4; i++) memory.Set(i, info[i]);
  memory_ = Napi::Persistent(memory);
  onBatch_ = Napi::Persistent(info[5].As<Napi::Function>());
  engine_ = std::make_unique<Engine>(std::move(poller.value()), ringMemory(info[1], info[2]),
                                     ringMemory(info[3], info[4]), [this] { callBatch(); });
  driver_ = std::make_unique<InlineDriver>(loop, engine_->reactor().poller(),
                                           InlineDriver::Callbacks{
                                               [this] { GAMMALOOP_CHECK(engine_->turn().ok()); },
                                               [this] { engine_->settleIfNeeded(); },
                                           });
  if (Result<void> started = driver_->start(); !started) {
    throwSysError(env, started.error());
    return;
  }
  engine_->attach(*driver_);
  defineQuickFunctions(info.This().As<Napi::Object>());
  Ref();  // the loop's callbacks point here: no garbage collection before tearDown
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle handle, void* self) {
        auto* wrap = static_cast<EngineWrap*>(self);
        wrap->cleanupHook_ = handle;
        wrap->tearDown();
      },
      this, &cleanupHook_);
}

EngineWrap::~EngineWrap() = default;

// The way into JavaScript: once a batch. What nextTick callbacks and microtasks answered, too, is in the submission
// ring when the reactor drains it.
void EngineWrap::callBatch() {
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  calling_ = true;
  callFromLoop(env, Value(), onBatch_.Value());
  calling_ = false;
}

void EngineWrap::tearDown() {
  // An environment that ends while a batch is being handled (process.exit) takes the process with it: nothing to free,
  // much to break.
  if (engine_ == nullptr || calling_) return;
  driver_->stop([this] {
    driver_.reset();
    if (cleanupHook_ != nullptr) napi_remove_async_cleanup_hook(cleanupHook_);
    cleanupHook_ = nullptr;
    Unref();
  });
  engine_.reset();  // sockets close here; the poller may close handles of its own on the loop
}

// Methods.

bool EngineWrap::hasServer(const Napi::CallbackInfo& info) const {
  return engine_ != nullptr && engine_->has(indexOf(info));
}

// By index and generation; null when the connection has gone.
Connection* EngineWrap::connectionOf(const Napi::CallbackInfo& info) {
  return engine_ == nullptr ? nullptr : engine_->connection({indexOf(info), uint32Of(info[1])});
}

Napi::Value EngineWrap::listen(const Napi::CallbackInfo& info) {
  if (engine_ == nullptr) return info.Env().Undefined();
  const Result<uint32_t> server = engine_->listen(targetOf(info[0]), limitsOf(info[1]), timeoutsOf(info[2]));
  if (!server) {
    throwSysError(info.Env(), server.error());
    return info.Env().Undefined();
  }
  return Napi::Number::New(info.Env(), server.value());
}

// { address, family, port }, or the path of a unix socket.
Napi::Value EngineWrap::address(const Napi::CallbackInfo& info) {
  if (!hasServer(info)) return info.Env().Undefined();
  const std::string& path = engine_->unixPath(indexOf(info));
  if (!path.empty()) return Napi::String::New(info.Env(), path);
  const Result<Endpoint> endpoint = engine_->address(indexOf(info));
  if (!endpoint) {
    throwSysError(info.Env(), endpoint.error());
    return info.Env().Undefined();
  }
  return endpointValue(info.Env(), endpoint.value());
}

void EngineWrap::setReferenced(const Napi::CallbackInfo& info) {
  if (hasServer(info)) engine_->setReferenced(indexOf(info), info[1].ToBoolean());
}

void EngineWrap::closeServer(const Napi::CallbackInfo& info) {
  if (hasServer(info)) engine_->close(indexOf(info));
}

// [exchanges cut, connections cut]
Napi::Value EngineWrap::cutServer(const Napi::CallbackInfo& info) {
  CutReport report;
  if (hasServer(info)) report = engine_->cut(indexOf(info));
  Napi::Array counts = Napi::Array::New(info.Env(), 2);
  counts.Set(0u, Napi::Number::New(info.Env(), report.exchanges));
  counts.Set(1u, Napi::Number::New(info.Env(), report.connections));
  return counts;
}

void EngineWrap::forgetServer(const Napi::CallbackInfo& info) {
  if (hasServer(info)) engine_->forget(indexOf(info));
}

// An array of numbers in the order of STAT_... in lib/bridge/binding.ts, then HttpError, then SessionError counters.
Napi::Value EngineWrap::stats(const Napi::CallbackInfo& info) {
  if (!hasServer(info)) return info.Env().Undefined();
  const HttpCounters& counters = engine_->http(indexOf(info)).counters;
  Napi::Array values = Napi::Array::New(info.Env());
  uint32_t at = 0;
  const auto push = [&](uint64_t value) {
    values.Set(at++, Napi::Number::New(info.Env(), static_cast<double>(value)));
  };
  push(counters.connectionsAccepted);
  push(counters.connectionsClosed);
  push(counters.connectionsDropped);
  push(counters.connectionsShed);
  push(counters.requestsReceived);
  push(counters.requestsCompleted);
  push(counters.requestsAborted);
  push(counters.bytesReceived);
  push(counters.bytesSent);
  for (const uint64_t count : counters.httpErrors) push(count);
  for (const uint64_t count : counters.sessionErrors) push(count);
  return values;
}

// (connection index, generation) to [remote endpoint, local endpoint], or undefined when the connection has gone.
Napi::Value EngineWrap::peer(const Napi::CallbackInfo& info) {
  Connection* connection = connectionOf(info);
  if (connection == nullptr) return info.Env().Undefined();
  Napi::Array ends = Napi::Array::New(info.Env(), 2);
  ends.Set(0u, endpointValue(info.Env(), connection->peer()));
  const Result<Endpoint> local = localEndpoint(connection->fd());
  ends.Set(1u, endpointValue(info.Env(), local ? local.value() : Endpoint{}));
  return ends;
}

// (slot, buffer)
void EngineWrap::lend(const Napi::CallbackInfo& info) {
  if (engine_ == nullptr) return;
  auto buffer = info[1].As<Napi::Uint8Array>();
  memory_.Set(kLentMemory + indexOf(info), buffer);
  engine_->lend(indexOf(info), std::span(buffer.Data(), buffer.ByteLength()));
}

void EngineWrap::flush(const Napi::CallbackInfo&) {
  if (engine_ != nullptr) engine_->flush();
}

// From outside of a batch: what was fed or submitted is acted upon, and what comes of it handed over, before this
// returns. Within one: nothing, since the batch ends with it.
void EngineWrap::settle(const Napi::CallbackInfo&) {
  if (engine_ != nullptr) engine_->settleIfNeeded();
}

Napi::Value EngineWrap::pollerName(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), engine_ == nullptr ? "" : engine_->reactor().poller().name());
}

// (on): begins anew, or ends.
void EngineWrap::measurePhases(const Napi::CallbackInfo& info) {
  if (engine_ == nullptr) return;
  PhaseClock& phases = engine_->reactor().phases();
  info[0].ToBoolean() ? phases.start() : phases.stop();
}

// [turns, then nanoseconds by Phase (reactor/phase_clock.h)]; undefined after the end.
Napi::Value EngineWrap::phaseTimes(const Napi::CallbackInfo& info) {
  if (engine_ == nullptr) return info.Env().Undefined();
  const PhaseClock::Times& times = engine_->reactor().phases().times();
  Napi::Array values = Napi::Array::New(info.Env());
  uint32_t at = 0;
  values.Set(at++, Napi::Number::New(info.Env(), static_cast<double>(times.turns)));
  for (const uint64_t ns : times.ns) values.Set(at++, Napi::Number::New(info.Env(), static_cast<double>(ns)));
  return values;
}

}  // namespace gammaloop
