// The runner as JavaScript has it, from both sides. RunnerPool: the caller's, who submits jobs and collects results.
// RunnerConsumer: a worker's, who takes jobs and returns results. The slots of the jobs are in memory that both
// environments share; only what must be done under the queue's lock, and what wakes somebody, comes here.
//
// Teardown: the end of an environment closes its doorbell; a consumer is given nothing more from then on.
// Each owns its doorbell and a share of the core. Thread: that of its environment.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <vector>

#include "runner/runner_core.h"
#include "runner/work_spin.h"
#include "sys/uv_doorbell.h"

namespace gammaloop {

// What both have: a doorbell on the environment's loop that calls a function, and its end.
class RunnerEnd {
 protected:
  // False: thrown.
  bool open(Napi::Env env, Napi::Function onRing);
  // Idempotent.
  void close();
  virtual ~RunnerEnd() = default;
  virtual void closing() {}  // before the doorbell goes
  virtual void rung() {}     // before JavaScript is called

  // False: out of memory.
  using PartAdder = std::function<bool(void* bytes, size_t size, bool isWhole)>;
  void fillParcel(Napi::Env env, const Napi::Value& parts, const PartAdder& add);

  std::shared_ptr<UvDoorbell> doorbell_;

 private:
  void call();
  Napi::Env env_ = nullptr;
  Napi::FunctionReference onRing_;
  napi_async_cleanup_hook_handle cleanupHook_ = nullptr;
};

class RunnerPool final : public Napi::ObjectWrap<RunnerPool>, private RunnerEnd {
 public:
  static Napi::Function define(Napi::Env env);
  // new RunnerPool(slots: Int32Array, strideWords, slotCount, agingMs, batchSlots: Uint32Array,
  //                batchPriorities: Uint8Array, onRing: () => void)
  explicit RunnerPool(const Napi::CallbackInfo& info);
  ~RunnerPool() override;

  static Napi::Value liveLoans(const Napi::CallbackInfo& info);

 private:
  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value submit(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  void ringConsumerOf(const Napi::CallbackInfo& info);
  Napi::Value consumerOf(const Napi::CallbackInfo& info);
  void setInput(const Napi::CallbackInfo& info);
  Napi::Value takeOutput(const Napi::CallbackInfo& info);
  void discard(const Napi::CallbackInfo& info);
  void withdraw(const Napi::CallbackInfo& info);
  Napi::Value reclaim(const Napi::CallbackInfo& info);
  Napi::Value poll(const Napi::CallbackInfo& info);
  void setReferenced(const Napi::CallbackInfo& info);
  Napi::Value waits(const Napi::CallbackInfo& info);
  Napi::Value queued(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  void closing() override { kept_.clear(); }
  void rung() override;
  void settle(Napi::Env env, const Napi::Value& lent, JobParcels& parcels);

  // A buffer that was lent to a task which has kept it.
  struct KeptLoan {
    std::shared_ptr<Loan> loan;
    Napi::Reference<Napi::Value> buffer;
  };

  Napi::ObjectReference memory_;  // keeps the arrays alive that the states and batches are in
  const uint32_t* batchSlots_ = nullptr;
  const uint8_t* batchPriorities_ = nullptr;
  std::vector<KeptLoan> kept_;
  std::shared_ptr<RunnerCore> core_;
};

class RunnerConsumer final : public Napi::ObjectWrap<RunnerConsumer>, private RunnerEnd {
 public:
  static Napi::Function define(Napi::Env env);
  // new RunnerConsumer(poolId, consumer, slots: Int32Array, taken: Uint32Array, onRing: () => void, spinUs)
  explicit RunnerConsumer(const Napi::CallbackInfo& info);
  ~RunnerConsumer() override;

 private:
  Napi::Value take(const Napi::CallbackInfo& info);
  void giveBack(const Napi::CallbackInfo& info);
  void retire(const Napi::CallbackInfo& info);
  void ringCaller(const Napi::CallbackInfo& info);
  void ringSelf(const Napi::CallbackInfo& info);
  Napi::Value takeInput(const Napi::CallbackInfo& info);
  napi_value lend(Napi::Env env, JobParcels& parcels, const ParcelPart& part);
  void setOutput(const Napi::CallbackInfo& info);
  void endLoans(const Napi::CallbackInfo& info);
  void setReferenced(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  void closing() override;

  Napi::ObjectReference memory_;
  uint32_t consumer_ = 0;
  TakenJob* taken_ = nullptr;
  WorkSpin spin_;
  std::shared_ptr<RunnerCore> core_;
};

}  // namespace gammaloop
