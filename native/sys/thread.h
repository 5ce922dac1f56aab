// Thread: a thread that can fail to start, which std::thread says by an exception. Owned by who joins it, which must
// happen before its end. Thread: start() and join() the owner's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/result.h"

namespace gammaloop {

class Thread {
 public:
  // The body must not throw. The system's default where it does not grant the stack.
  static Result<std::unique_ptr<Thread>> start(std::function<void()> body, size_t stackBytes);
  ~Thread();
  // Waits until the body has returned. Idempotent.
  void join();

 private:
  struct Handle;
  explicit Thread(std::unique_ptr<Handle> handle);
  std::unique_ptr<Handle> handle_;
};

// Makes the calling thread less urgent, as nice(1) counts, where the system knows priorities of threads (Linux).
void giveWay(uint32_t increment) noexcept;

}  // namespace gammaloop
