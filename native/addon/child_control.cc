#include "addon/child_control.h"

#include "addon/values.h"
#include "sys/control_pipe.h"

namespace gammaloop {

namespace {
constexpr size_t kStackBytes = 128 * 1024;
}

Napi::Function ChildControl::define(Napi::Env env) { return DefineClass(env, "ChildControl", {}); }

ChildControl::ChildControl(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ChildControl>(info) {
  if (IsEmpty()) return;  // nothing can be wrapped any more: the environment is being terminated
  if (!open(info.Env(), info[4].As<Napi::Function>())) return;
  Napi::Object memory = Napi::Object::New(info.Env());
  memory.Set(0u, info[1]);
  memory.Set(1u, info[3]);
  memory_ = Napi::Persistent(memory);
  const auto cancelled = info[3].As<Napi::Int32Array>();
  shared_->states = {reinterpret_cast<uint32_t*>(info[1].As<Napi::Int32Array>().Data()), uint32Of(info[2])};
  shared_->cancelled = reinterpret_cast<std::atomic<uint32_t>*>(const_cast<int32_t*>(cancelled.Data()));
  shared_->slots = static_cast<uint32_t>(cancelled.ElementLength());
  shared_->doorbell = doorbell_;
  const int fd = info[0].As<Napi::Number>().Int32Value();
  auto thread = Thread::start(
      [fd, shared = shared_] {
        uint32_t record[2];
        while (readControl(fd, record, sizeof(record))) shared->cancel(record[0], record[1]);
        endOrphan();
      },
      kStackBytes);
  if (!thread) {
    throwSysError(info.Env(), thread.error());
    return;
  }
  thread.value().release();  // waits in the pipe until the process ends
  Ref();
}

ChildControl::~ChildControl() { RunnerEnd::close(); }

void ChildControl::Shared::cancel(uint32_t slot, uint32_t generation) {
  const std::lock_guard lock(mutex);
  if (cancelled == nullptr || slot >= slots) return;
  cancelled[slot].store(generation);
  for (const uint32_t place : {job_state::kTaken, job_state::kRunning}) {
    uint32_t expected = job_state::make(generation, place);
    states[slot].compare_exchange_strong(expected, expected | job_state::kCancelBit);
  }
  doorbell->ring();
}

void ChildControl::closing() {
  const std::lock_guard lock(shared_->mutex);
  shared_->cancelled = nullptr;
  shared_->doorbell.reset();
}

}  // namespace gammaloop
