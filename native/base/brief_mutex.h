// BriefMutex: for what is held for moments only. Who finds it taken looks again for about as long as it is held, before
// it sleeps: to sleep, and to be woken by who has it, would cost both far more than what is done meanwhile.
// Thread: any.
#pragma once

#include <mutex>

namespace gammaloop {

// Tells the processor that this thread waits by looking: whoever shares its core goes first.
inline void relaxProcessor() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

class BriefMutex {
 public:
  void lock() {
    for (int i = 0; i < kLooks; i++) {
      if (mutex_.try_lock()) return;
      relaxProcessor();
    }
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }

 private:
  static constexpr int kLooks = 100;
  std::mutex mutex_;
};

}  // namespace gammaloop
