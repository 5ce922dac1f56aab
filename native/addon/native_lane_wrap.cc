#include "addon/native_lane_wrap.h"

#include <cerrno>
#include <string>
#include <utility>

#include "addon/values.h"
#include "sys/shared_library.h"

namespace gammaloop {

namespace {

constexpr size_t kStackBytes = 8 * 1024 * 1024;
// Below, a copy costs less than memory that V8 has to be told to give back.
constexpr size_t kCopyBytes = 32 * 1024;

Napi::Value failure(Napi::Env env, const char* kind, const std::string& text) {
  Napi::Object value = Napi::Object::New(env);
  value.Set("kind", Napi::String::New(env, kind));
  value.Set("text", Napi::String::New(env, text));
  return value;
}

}  // namespace

Napi::Function NativeLane::define(Napi::Env env) {
  return DefineClass(env, "NativeLane",
                     {
                         InstanceMethod<&NativeLane::defineFunction>("define"),
                         InstanceMethod<&NativeLane::start>("start"),
                         InstanceMethod<&NativeLane::retire>("retire"),
                         InstanceMethod<&NativeLane::reap>("reap"),
                         InstanceMethod<&NativeLane::copyInput>("copyInput"),
                         InstanceMethod<&NativeLane::holdInput>("holdInput"),
                         InstanceMethod<&NativeLane::takeOutput>("takeOutput"),
                         InstanceMethod<&NativeLane::discard>("discard"),
                         InstanceMethod<&NativeLane::close>("close"),
                         StaticMethod<&NativeLane::liveBytes>("liveBytes"),
                     });
}

NativeLane::NativeLane(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeLane>(info) {
  if (IsEmpty()) return;  // nothing can be wrapped any more: the environment is being terminated
  std::shared_ptr<RunnerCore> core = RunnerCore::find(uint32Of(info[0]));
  if (core == nullptr) {
    throwSysError(info.Env(), {"NativeLane", ESRCH});
    return;
  }
  NativeMemory memory;
  memory.slots = reinterpret_cast<uint32_t*>(info[1].As<Napi::Int32Array>().Data());
  memory.strideWords = uint32Of(info[2]);
  memory.inputs = info[4].As<Napi::Uint8Array>().Data();
  memory.inputStrideBytes = uint32Of(info[5]);
  Napi::Object kept = Napi::Object::New(info.Env());
  kept.Set(0u, info[1]);
  kept.Set(1u, info[4]);
  memory_ = Napi::Persistent(kept);
  pool_ = std::make_shared<NativePool>(std::move(core), memory, uint32Of(info[3]));
  // Added after that of the pool, so called before it: the caller's doorbell is there until no thread can ring it.
  napi_add_env_cleanup_hook(info.Env(), &NativeLane::atCleanup, this);
  isOpen_ = true;
  Ref();  // the threads use what it keeps: no garbage collection before close
}

NativeLane::~NativeLane() {
  if (isOpen_) endThreads();
}

// (function, path, symbol) to undefined, or to why not: { kind: 'library' | 'abi' | 'symbol', text }.
Napi::Value NativeLane::defineFunction(const Napi::CallbackInfo& info) {
  std::string error;
  void* library = openSharedLibrary(info[1].As<Napi::String>().Utf8Value().c_str(), error);
  if (library == nullptr) return failure(info.Env(), "library", error);
  const auto abi = reinterpret_cast<gammaloop_task_abi_function>(findSymbol(library, "gammaloop_task_abi"));
  if (abi == nullptr) return failure(info.Env(), "abi", "it says none (GAMMALOOP_TASK_LIBRARY of gammaloop_task.h)");
  if (const uint32_t version = abi(); version != GAMMALOOP_TASK_ABI) {
    return failure(info.Env(), "abi", "it has version " + std::to_string(version));
  }
  void* symbol = findSymbol(library, info[2].As<Napi::String>().Utf8Value().c_str());
  if (symbol == nullptr) return failure(info.Env(), "symbol", "");
  pool_->define(uint32Of(info[0]), reinterpret_cast<gammaloop_task_function>(symbol));
  return info.Env().Undefined();
}

// (consumer, lane: Int32Array, capacity, idleMs, spinUs, batchSize, niceIncrement); idleMs -1: for ever. Throws where
// there can be no thread.
void NativeLane::start(const Napi::CallbackInfo& info) {
  const uint32_t consumer = uint32Of(info[0]);
  if (consumer >= members_.size()) members_.resize(consumer + 1);
  Member& member = members_[consumer];
  auto lane = info[1].As<Napi::Int32Array>();
  NativeWorker::Options options;
  const double idleMs = info[3].As<Napi::Number>().DoubleValue();
  if (idleMs >= 0) options.idleNs = static_cast<uint64_t>(idleMs * 1e6);
  options.spinNs = uint64_t{uint32Of(info[4])} * 1000;
  options.batchSize = uint32Of(info[5]);
  const CompletionRing ring(reinterpret_cast<uint32_t*>(lane.Data()), uint32Of(info[2]));
  member.worker = std::make_unique<NativeWorker>(pool_, consumer, ring, options);
  NativeWorker* worker = member.worker.get();
  const auto body = [worker, increment = uint32Of(info[6])] {
    giveWay(increment);
    worker->run();
  };
  Result<std::unique_ptr<Thread>> thread = Thread::start(body, kStackBytes);
  if (!thread) {
    pool_->core().queue().removeConsumer(consumer);
    member.worker.reset();
    throwSysError(info.Env(), thread.error());
    return;
  }
  member.thread = std::move(thread.value());
  member.memory = Napi::Persistent(info[1].As<Napi::Object>());
}

// (consumer)
void NativeLane::retire(const Napi::CallbackInfo& info) {
  const uint32_t consumer = uint32Of(info[0]);
  if (consumer < members_.size() && members_[consumer].worker != nullptr) members_[consumer].worker->retire();
}

// (consumer): its lane has ended.
void NativeLane::reap(const Napi::CallbackInfo& info) { members_[uint32Of(info[0])] = {}; }

// (slot, bytes: Uint8Array) to false where there is no memory left.
Napi::Value NativeLane::copyInput(const Napi::CallbackInfo& info) {
  const auto bytes = info[1].As<Napi::Uint8Array>();
  NativeBytes copy = NativeBytes::copy(bytes.Data(), bytes.ByteLength());
  const bool copied = copy.bytes() != nullptr;
  pool_->job(uint32Of(info[0])).input = std::move(copy);
  return Napi::Boolean::New(info.Env(), copied);
}

// (slot, bytes: Uint8Array): used where they are. The caller keeps them until the job has ended.
void NativeLane::holdInput(const Napi::CallbackInfo& info) {
  const auto bytes = info[1].As<Napi::Uint8Array>();
  auto* data = const_cast<uint8_t*>(bytes.Data());  // tasks only read it
  pool_->job(uint32Of(info[0])).input = NativeBytes(data, bytes.ByteLength(), nullptr, nullptr);
}

// (slot) to an ArrayBuffer; undefined where V8 has no memory for one.
Napi::Value NativeLane::takeOutput(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  NativeBytes output = std::move(pool_->job(uint32Of(info[0])).output);
  napi_value value;
  if (output.bytes() != nullptr && output.size() > kCopyBytes) {
    auto* kept = new NativeBytes(std::move(output));
    const auto release = [](napi_env, void*, void* hint) { delete static_cast<NativeBytes*>(hint); };
    if (napi_create_external_arraybuffer(env, kept->bytes(), kept->size(), release, kept, &value) == napi_ok) {
      return {env, value};
    }
    // A runtime that allows no external memory.
    output = std::move(*kept);
    delete kept;
  }
  void* bytes = nullptr;
  if (napi_create_arraybuffer(env, output.size(), &bytes, &value) != napi_ok) return env.Undefined();
  if (output.size() != 0) std::memcpy(bytes, output.bytes(), output.size());
  return {env, value};
}

// (slot): nobody wants its bytes any more.
void NativeLane::discard(const Napi::CallbackInfo& info) {
  NativeJob& job = pool_->job(uint32Of(info[0]));
  job.input.reset();
  job.output.reset();
}

// How many inputs and results of the whole process have not been given back.
Napi::Value NativeLane::liveBytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(NativeBytes::liveCount().load()));
}

void NativeLane::close(const Napi::CallbackInfo& info) {
  if (!isOpen_) return;
  napi_remove_env_cleanup_hook(info.Env(), &NativeLane::atCleanup, this);
  endThreads();
  memory_.Reset();
  Unref();
}

void NativeLane::atCleanup(void* self) { static_cast<NativeLane*>(self)->endThreads(); }

void NativeLane::endThreads() {
  isOpen_ = false;
  for (uint32_t consumer = 0; consumer < members_.size(); consumer++) {
    if (members_[consumer].worker == nullptr) continue;
    pool_->core().queue().withdraw(consumer);  // it can start nothing more
    members_[consumer].worker->retire();
  }
  pool_->cancelRunning();
  members_.clear();  // joins
}

}  // namespace gammaloop
