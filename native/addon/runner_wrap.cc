#include "addon/runner_wrap.h"

#include <cerrno>

#include "addon/values.h"

namespace gammaloop {

namespace {

uint32_t numberAt(const Napi::CallbackInfo& info, size_t index) { return info[index].As<Napi::Number>().Uint32Value(); }

// Memory of V8's own, not zeroed: external memory would be cheaper, but JavaScript could not transfer such a buffer on.
// nullptr: the environment is being terminated.
napi_value makeBuffer(Napi::Env env, size_t size, void** bytes) {
  napi_value view;
  napi_value buffer;
  if (napi_create_buffer(env, size, bytes, &view) != napi_ok) return nullptr;
  if (napi_get_typedarray_info(env, view, nullptr, nullptr, nullptr, &buffer, nullptr) != napi_ok) return nullptr;
  return buffer;
}

// Below this a copy in and out costs less than a buffer over other memory.
constexpr size_t kMinLoanBytes = 24 * 1024;

// The bytes of an ArrayBuffer of this size; nullptr where it is none.
void* bytesIn(Napi::Env env, const Napi::Value& buffer, size_t size) {
  void* bytes = nullptr;
  size_t available = 0;
  if (!buffer.IsArrayBuffer() || napi_get_arraybuffer_info(env, buffer, &bytes, &available) != napi_ok) return nullptr;
  return available == size ? bytes : nullptr;
}

}  // namespace

// What both have.

bool RunnerEnd::open(Napi::Env env, Napi::Function onRing) {
  uv_loop_s* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    throwSysError(env, {"napi_get_uv_event_loop", ENOSYS});
    return false;
  }
  env_ = env;
  onRing_ = Napi::Persistent(onRing);
  doorbell_ = std::make_shared<UvDoorbell>();
  if (Result<void> opened = doorbell_->open(loop, [this] { call(); }); !opened) {
    doorbell_.reset();
    throwSysError(env, opened.error());
    return false;
  }
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle handle, void* self) {
        auto* end = static_cast<RunnerEnd*>(self);
        end->cleanupHook_ = handle;
        end->close();
      },
      this, &cleanupHook_);
  return true;
}

void RunnerEnd::close() {
  if (doorbell_ == nullptr) return;
  closing();
  const napi_async_cleanup_hook_handle hook = cleanupHook_;
  cleanupHook_ = nullptr;
  // The environment waits until libuv has let go of the handle.
  doorbell_->close([hook] {
    if (hook != nullptr) napi_remove_async_cleanup_hook(hook);
  });
  doorbell_.reset();
  onRing_.Reset();
}

// JavaScript catches what tasks throw: an error that comes out is an uncaught exception of the environment, or its
// termination.
void RunnerEnd::call() {
  const Napi::HandleScope scope(env_);
  rung();
  napi_value receiver;
  napi_value result;
  if (napi_get_global(env_, &receiver) != napi_ok) return;
  const napi_status status = napi_make_callback(env_, nullptr, receiver, onRing_.Value(), 0, nullptr, &result);
  if (status == napi_ok) return;
  bool pending = false;
  if (napi_is_exception_pending(env_, &pending) != napi_ok || !pending) return;
  napi_value error;
  if (napi_get_and_clear_last_exception(env_, &error) == napi_ok) napi_fatal_exception(env_, error);
}

// `parts`: an array of Uint8Array, to be copied, and of ArrayBuffers, which are lent where the job's input is meant.
void RunnerEnd::fillParcel(Napi::Env env, const Napi::Value& parts, const PartAdder& add) {
  const uint32_t count = parts.As<Napi::Array>().Length();
  for (uint32_t i = 0; i < count; i++) {
    napi_value part;
    if (napi_get_element(env, parts, i, &part) != napi_ok) return;
    void* bytes;
    size_t size;
    const bool isWhole = napi_get_arraybuffer_info(env, part, &bytes, &size) == napi_ok;
    if (!isWhole && napi_get_typedarray_info(env, part, nullptr, &size, &bytes, nullptr, nullptr) != napi_ok) return;
    if (add(bytes, size, isWhole)) continue;
    throwSysError(env, {"malloc", ENOMEM});
    return;
  }
}

// The caller's side.

Napi::Function RunnerPool::define(Napi::Env env) {
  return DefineClass(env, "RunnerPool",
                     {
                         InstanceMethod<&RunnerPool::id>("id"),
                         InstanceMethod<&RunnerPool::submit>("submit"),
                         InstanceMethod<&RunnerPool::cancel>("cancel"),
                         InstanceMethod<&RunnerPool::ringConsumerOf>("ringConsumerOf"),
                         InstanceMethod<&RunnerPool::consumerOf>("consumerOf"),
                         InstanceMethod<&RunnerPool::setInput>("setInput"),
                         InstanceMethod<&RunnerPool::takeOutput>("takeOutput"),
                         InstanceMethod<&RunnerPool::discard>("discard"),
                         InstanceMethod<&RunnerPool::withdraw>("withdraw"),
                         InstanceMethod<&RunnerPool::reclaim>("reclaim"),
                         InstanceMethod<&RunnerPool::poll>("poll"),
                         InstanceMethod<&RunnerPool::setReferenced>("setReferenced"),
                         InstanceMethod<&RunnerPool::waits>("waits"),
                         InstanceMethod<&RunnerPool::queued>("queued"),
                         InstanceMethod<&RunnerPool::close>("close"),
                         StaticMethod<&RunnerPool::liveLoans>("liveLoans"),
                     });
}

RunnerPool::RunnerPool(const Napi::CallbackInfo& info) : Napi::ObjectWrap<RunnerPool>(info) {
  if (IsEmpty()) return;  // nothing can be wrapped any more: the environment is being terminated
  if (!open(info.Env(), info[6].As<Napi::Function>())) return;
  Napi::Object memory = Napi::Object::New(info.Env());
  memory.Set(0u, info[0]);
  memory.Set(1u, info[4]);
  memory.Set(2u, info[5]);
  memory_ = Napi::Persistent(memory);
  auto* words = reinterpret_cast<uint32_t*>(info[0].As<Napi::Int32Array>().Data());
  batchSlots_ = info[4].As<Napi::Uint32Array>().Data();
  batchPriorities_ = info[5].As<Napi::Uint8Array>().Data();
  const uint64_t agingNs = uint64_t{numberAt(info, 3)} * 1'000'000;
  core_ = RunnerCore::create({words, numberAt(info, 1)}, numberAt(info, 2), agingNs, doorbell_);
  Ref();  // the doorbell points here: no garbage collection before close
}

RunnerPool::~RunnerPool() { RunnerEnd::close(); }

Napi::Value RunnerPool::id(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), core_->id()); }

// (count): the first of the batch arrays; to the number of consumers that were woken.
Napi::Value RunnerPool::submit(const Napi::CallbackInfo& info) {
  const uint32_t woken = core_->queue().push(batchSlots_, batchPriorities_, numberAt(info, 0), steadyNs());
  return Napi::Number::New(info.Env(), woken);
}

void RunnerPool::ringConsumerOf(const Napi::CallbackInfo& info) { core_->queue().ringConsumerOf(numberAt(info, 0)); }

// -1: nobody has taken it.
Napi::Value RunnerPool::consumerOf(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<int32_t>(core_->queue().consumerOf(numberAt(info, 0))));
}

// (slot) to a CancelOutcome.
Napi::Value RunnerPool::cancel(const Napi::CallbackInfo& info) {
  const uint32_t slot = numberAt(info, 0);
  const uint32_t generation = job_state::generationOf(core_->states()[slot].load(std::memory_order_acquire));
  const CancelOutcome outcome = core_->queue().cancel(slot, generation);
  return Napi::Number::New(info.Env(), static_cast<uint32_t>(outcome));
}

// (slot, parts): what is lent must stay until discard.
void RunnerPool::setInput(const Napi::CallbackInfo& info) {
  JobParcels& parcels = core_->parcels(numberAt(info, 0));
  parcels.clear();
  fillParcel(info.Env(), info[1], [&parcels](void* bytes, size_t size, bool isWhole) {
    if (!isWhole) return parcels.copyInput(bytes, size);
    parcels.lendInput(bytes, size);
    return true;
  });
}

// (slot, lent) to an array of ArrayBuffers, those of `lent` (what setInput was given) among them. In an environment
// that is being terminated every call may fail: then what comes out is incomplete, and nobody will see it.
Napi::Value RunnerPool::takeOutput(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  JobParcels& parcels = core_->parcels(numberAt(info, 0));
  const Parcel& output = parcels.output();
  Napi::Array parts = Napi::Array::New(env, output.size());
  for (uint32_t i = 0; i < output.size(); i++) {
    napi_value buffer = nullptr;
    if (output[i].lent != kNotLent) {
      if (napi_get_element(env, info[1], output[i].lent, &buffer) != napi_ok) break;
    } else {
      void* bytes = nullptr;
      buffer = makeBuffer(env, output[i].size, &bytes);
      if (buffer == nullptr) break;
      if (output[i].size != 0) std::memcpy(bytes, output[i].owned.get(), output[i].size);
    }
    if (napi_set_element(env, parts, i, buffer) != napi_ok) break;
  }
  settle(env, info[1], parcels);
  return parts;
}

// (slot, lent): nobody wants its bytes any more. `lent`: what setInput was given, or null.
void RunnerPool::discard(const Napi::CallbackInfo& info) {
  settle(info.Env(), info[1], core_->parcels(numberAt(info, 0)));
}

// The job has ended. What its task has kept of `lent` stays here until that has gone.
void RunnerPool::settle(Napi::Env env, const Napi::Value& lent, JobParcels& parcels) {
  parcels.forEachKept([&](uint32_t index, const std::shared_ptr<Loan>& loan) {
    napi_value buffer = nullptr;
    if (napi_get_element(env, lent, index, &buffer) != napi_ok || !loan->keep()) return;
    kept_.push_back({loan, Napi::Reference<Napi::Value>::New(Napi::Value(env, buffer), 1)});
  });
  parcels.clear();
}

void RunnerPool::rung() {
  std::erase_if(kept_, [](const KeptLoan& kept) { return kept.loan->isOver(); });
}

// () to the number of loans of the process that are not over.
Napi::Value RunnerPool::liveLoans(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Loan::live());
}

// (consumer): it runs nothing after what it runs.
void RunnerPool::withdraw(const Napi::CallbackInfo& info) { core_->queue().withdraw(numberAt(info, 0)); }

// (consumer): the consumer has gone; the slots that it was running.
Napi::Value RunnerPool::reclaim(const Napi::CallbackInfo& info) {
  const uint32_t consumer = numberAt(info, 0);
  core_->queue().removeConsumer(consumer);
  const std::vector<uint32_t> running = core_->queue().reclaim(consumer);
  Napi::Array slots = Napi::Array::New(info.Env(), running.size());
  for (uint32_t i = 0; i < running.size(); i++) slots.Set(i, Napi::Number::New(info.Env(), running[i]));
  return slots;
}

// (spinUs): whether a consumer rang.
Napi::Value RunnerPool::poll(const Napi::CallbackInfo& info) {
  const bool rung = doorbell_ != nullptr && doorbell_->poll(uint64_t{numberAt(info, 0)} * 1000);
  return Napi::Boolean::New(info.Env(), rung);
}

void RunnerPool::setReferenced(const Napi::CallbackInfo& info) {
  if (doorbell_ != nullptr) doorbell_->setReferenced(info[0].ToBoolean());
}

// Counts by bucket (runner/histogram.h).
Napi::Value RunnerPool::waits(const Napi::CallbackInfo& info) {
  const Histogram waits = core_->queue().waits();
  auto counts = Napi::Uint32Array::New(info.Env(), Histogram::kBuckets);
  for (uint32_t i = 0; i < Histogram::kBuckets; i++) counts[i] = waits.counts()[i];
  return counts;
}

Napi::Value RunnerPool::queued(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), core_->queue().size());
}

void RunnerPool::close(const Napi::CallbackInfo&) {
  if (doorbell_ == nullptr) return;
  RunnerEnd::close();
  Unref();
}

// A consumer's side.

Napi::Function RunnerConsumer::define(Napi::Env env) {
  return DefineClass(env, "RunnerConsumer",
                     {
                         InstanceMethod<&RunnerConsumer::take>("take"),
                         InstanceMethod<&RunnerConsumer::giveBack>("giveBack"),
                         InstanceMethod<&RunnerConsumer::retire>("retire"),
                         InstanceMethod<&RunnerConsumer::ringCaller>("ringCaller"),
                         InstanceMethod<&RunnerConsumer::ringSelf>("ringSelf"),
                         InstanceMethod<&RunnerConsumer::takeInput>("takeInput"),
                         InstanceMethod<&RunnerConsumer::setOutput>("setOutput"),
                         InstanceMethod<&RunnerConsumer::endLoans>("endLoans"),
                         InstanceMethod<&RunnerConsumer::setReferenced>("setReferenced"),
                         InstanceMethod<&RunnerConsumer::close>("close"),
                     });
}

RunnerConsumer::RunnerConsumer(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<RunnerConsumer>(info), spin_(uint64_t{numberAt(info, 5)} * 1000) {
  if (IsEmpty()) return;  // nothing can be wrapped any more: the environment is being terminated
  core_ = RunnerCore::find(numberAt(info, 0));
  if (core_ == nullptr) {
    throwSysError(info.Env(), {"RunnerConsumer", ESRCH});  // the runner has gone meanwhile
    return;
  }
  if (!open(info.Env(), info[4].As<Napi::Function>())) return;
  Napi::Object memory = Napi::Object::New(info.Env());
  memory.Set(0u, info[2]);
  memory.Set(1u, info[3]);
  memory_ = Napi::Persistent(memory);
  static_assert(sizeof(TakenJob) == 2 * sizeof(uint32_t));
  taken_ = reinterpret_cast<TakenJob*>(info[3].As<Napi::Uint32Array>().Data());
  consumer_ = numberAt(info, 1);
  core_->queue().addConsumer(consumer_, doorbell_);
  doorbell_->setReferenced(true);  // a worker lives until it is told to end
  Ref();
}

RunnerConsumer::~RunnerConsumer() { RunnerEnd::close(); }

// (limit, canWait) to the number of jobs, now in `taken`. 0: parked, and rung when there is something. `canWait`:
// nothing else is to be done here meanwhile, so it may look for work for a moment.
Napi::Value RunnerConsumer::take(const Napi::CallbackInfo& info) {
  if (doorbell_ == nullptr) return Napi::Number::New(info.Env(), 0);
  if (info[1].ToBoolean()) spin_.await(core_->queue());
  return Napi::Number::New(info.Env(), core_->queue().take(consumer_, taken_, numberAt(info, 0), steadyNs()));
}

// (from, count): of `taken`.
void RunnerConsumer::giveBack(const Napi::CallbackInfo& info) {
  core_->queue().giveBack(taken_ + numberAt(info, 0), numberAt(info, 1));
}

void RunnerConsumer::retire(const Napi::CallbackInfo&) { core_->queue().retireConsumer(consumer_); }

void RunnerConsumer::ringCaller(const Napi::CallbackInfo&) { core_->ringCaller(); }

void RunnerConsumer::ringSelf(const Napi::CallbackInfo&) {
  if (doorbell_ != nullptr) doorbell_->ring();
}

// (slot, spare, loans) to an array of ArrayBuffers. The bytes of one part may be put into `spare`, an ArrayBuffer or
// null, which then is that part. `loans`: an array, to which those are added that are the caller's memory itself; or
// null, and none is. As with takeOutput, incomplete at the end of the environment.
Napi::Value RunnerConsumer::takeInput(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  JobParcels& parcels = core_->parcels(numberAt(info, 0));
  const Parcel& input = parcels.input();
  Napi::Array parts = Napi::Array::New(env, input.size());
  const bool canLend = info[2].IsArray();
  uint32_t loans = 0;
  bool isSpareUsed = false;
  for (uint32_t i = 0; i < input.size(); i++) {
    const size_t size = input[i].size;
    if (canLend && input[i].lent != kNotLent && size >= kMinLoanBytes) {
      if (napi_value lent = lend(env, parcels, input[i]); lent != nullptr) {
        if (napi_set_element(env, info[2], loans++, lent) != napi_ok) break;
        if (napi_set_element(env, parts, i, lent) != napi_ok) break;
        continue;
      }
    }
    napi_value buffer = info[1];
    void* bytes = isSpareUsed ? nullptr : bytesIn(env, info[1], size);
    if (bytes != nullptr) {
      isSpareUsed = true;
    } else {
      buffer = makeBuffer(env, size, &bytes);
      if (buffer == nullptr) break;
    }
    if (size != 0) std::memcpy(bytes, parcels.bytesOf(input[i]), size);
    if (napi_set_element(env, parts, i, buffer) != napi_ok) break;
  }
  parcels.clearInput();
  return parts;
}

// nullptr: this runtime knows no memory but its own, or the environment is being terminated.
napi_value RunnerConsumer::lend(Napi::Env env, JobParcels& parcels, const ParcelPart& part) {
  struct Holder {
    std::shared_ptr<Loan> loan;
    std::weak_ptr<RunnerCore> core;
  };
  auto loan = std::make_shared<Loan>();
  auto* holder = new Holder{loan, core_};
  napi_value buffer;
  const napi_status status = napi_create_external_arraybuffer(
      env, const_cast<uint8_t*>(parcels.bytesOf(part)), part.size,
      [](napi_env, void*, void* hint) {
        const std::unique_ptr<Holder> ended(static_cast<Holder*>(hint));
        if (!ended->loan->end()) return;
        if (const std::shared_ptr<RunnerCore> core = ended->core.lock(); core != nullptr) core->ringCaller();
      },
      holder, &buffer);
  // Otherwise node may still call the finalizer.
  if (status == napi_no_external_buffers_allowed) delete holder;
  if (status != napi_ok) return nullptr;
  parcels.show(part, std::move(loan));
  return buffer;
}

// (buffers): of `loans`. The task has given them back.
void RunnerConsumer::endLoans(const Napi::CallbackInfo& info) {
  const auto buffers = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < buffers.Length(); i++) {
    napi_value buffer;
    if (napi_get_element(info.Env(), buffers, i, &buffer) != napi_ok) return;
    napi_detach_arraybuffer(info.Env(), buffer);
  }
}

// (slot, parts)
void RunnerConsumer::setOutput(const Napi::CallbackInfo& info) {
  JobParcels& parcels = core_->parcels(numberAt(info, 0));
  parcels.clearOutput();
  fillParcel(info.Env(), info[1],
             [&parcels](void* bytes, size_t size, bool isWhole) { return parcels.addOutput(bytes, size, isWhole); });
}

void RunnerConsumer::setReferenced(const Napi::CallbackInfo& info) {
  if (doorbell_ != nullptr) doorbell_->setReferenced(info[0].ToBoolean());
}

void RunnerConsumer::close(const Napi::CallbackInfo&) {
  if (doorbell_ == nullptr) return;
  RunnerEnd::close();
  Unref();
}

void RunnerConsumer::closing() {
  if (core_ != nullptr) core_->queue().removeConsumer(consumer_);
}

}  // namespace gammaloop
