// NativeLane: the threads of a runner's native lane, as the caller in JavaScript has them: it defines the functions,
// starts and ends threads, and brings bytes in and out that do not stand in the shared memory.
//
// Teardown: a task that runs cannot be ended from outside; close() and the end of the environment cancel what runs, and
// wait for it.
// Owns the threads, a share of the pool, and what keeps the memory alive that they use. Thread: that of its
// environment.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "runner/native_pool.h"
#include "runner/native_worker.h"
#include "sys/thread.h"

namespace gammaloop {

class NativeLane final : public Napi::ObjectWrap<NativeLane> {
 public:
  static Napi::Function define(Napi::Env env);
  // new NativeLane(poolId, slots: Int32Array, strideWords, slotCount, inputs: Uint8Array, inputStrideBytes)
  explicit NativeLane(const Napi::CallbackInfo& info);
  ~NativeLane() override;

 private:
  struct Member {
    Napi::ObjectReference memory;  // the lane's
    std::unique_ptr<NativeWorker> worker;
    std::unique_ptr<Thread> thread;  // goes first, and is joined
    Member() = default;
    Member(Member&&) = default;
    Member& operator=(Member&& other) {
      thread = std::move(other.thread);
      worker = std::move(other.worker);
      memory = std::move(other.memory);
      return *this;
    }
  };

  Napi::Value defineFunction(const Napi::CallbackInfo& info);
  void start(const Napi::CallbackInfo& info);
  void retire(const Napi::CallbackInfo& info);
  void reap(const Napi::CallbackInfo& info);
  Napi::Value copyInput(const Napi::CallbackInfo& info);
  void holdInput(const Napi::CallbackInfo& info);
  Napi::Value takeOutput(const Napi::CallbackInfo& info);
  void discard(const Napi::CallbackInfo& info);
  static Napi::Value liveBytes(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  static void atCleanup(void* self);
  void endThreads();

  Napi::ObjectReference memory_;
  std::shared_ptr<NativePool> pool_;
  std::vector<Member> members_;  // by consumer
  bool isOpen_ = false;
};

}  // namespace gammaloop
