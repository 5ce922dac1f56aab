// ChildControl: in a child process of a runner, the end of the pipe by which the parent cancels tasks, also those that
// hold the event loop. When the parent has gone, however it ended, so has this process.
//
// A record is two words: the slot, and the generation of the job in it. The generation is stored for the slot, and the
// job's state gets its cancel bit if the job is there already; then the loop is rung.
//
// Owns its thread, which waits in the pipe for as long as the process lives, and so is never joined; it reaches the
// memory through what both share. Thread: that of its environment.
#pragma once

#include <napi.h>

#include <memory>
#include <mutex>

#include "addon/runner_wrap.h"
#include "runner/job_state.h"
#include "sys/thread.h"

namespace gammaloop {

class ChildControl final : public Napi::ObjectWrap<ChildControl>, private RunnerEnd {
 public:
  static Napi::Function define(Napi::Env env);
  // new ChildControl(fd, slots: Int32Array, strideWords, cancelled: Int32Array, onRing: () => void)
  explicit ChildControl(const Napi::CallbackInfo& info);
  ~ChildControl() override;

 private:
  struct Shared {
    std::mutex mutex;
    JobStates states;
    std::atomic<uint32_t>* cancelled = nullptr;  // nullptr: the environment is ending
    uint32_t slots = 0;
    std::shared_ptr<Doorbell> doorbell;
    void cancel(uint32_t slot, uint32_t generation);
  };

  void closing() override;

  Napi::ObjectReference memory_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace gammaloop
