// UvDoorbell: a doorbell that calls back on a libuv loop. Its sleeper may also look for rings itself for a moment
// (`poll`), which saves both sides the system call and the wake-up.
//
// Shared by who rings and who listens. Thread: ring() from any; everything else on the loop's. After close() no
// callback comes and ring() does nothing; the libuv handle frees itself when the loop has let go of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>

#include "base/doorbell.h"
#include "base/result.h"

struct uv_loop_s;

namespace gammaloop {

class UvDoorbell final : public Doorbell {
 public:
  ~UvDoorbell() override { close({}); }

  // Unreferenced at first: it does not keep the loop alive.
  Result<void> open(uv_loop_s* loop, std::function<void()> rung);
  void setReferenced(bool referenced);
  // Waits for a ring for at most `spinNs` without sleeping. True: one came, and no callback will come for it.
  bool poll(uint64_t spinNs);
  // `closed` is called when libuv has let go of the handle. Idempotent.
  void close(std::function<void()> closed);

  void ring() noexcept override;

 private:
  struct Handle;
  enum State : uint32_t { kQuiet, kPolled, kRung };

  std::mutex mutex_;  // handle_ against close(), for those who ring
  Handle* handle_ = nullptr;
  std::atomic<uint32_t> state_{kQuiet};
};

}  // namespace gammaloop
