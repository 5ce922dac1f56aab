// NativeBytes: the input or the result of a native task, and who frees it. Moved, never copied. Thread: its holder's.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "include/gammaloop_task.h"

namespace gammaloop {

class NativeBytes {
 public:
  NativeBytes() = default;
  // `release`: nullptr where somebody else keeps the memory, for as long as this is held.
  NativeBytes(uint8_t* bytes, size_t size, gammaloop_release release, void* hint)
      : bytes_(bytes), size_(size), release_(release), hint_(hint) {
    if (release_ != nullptr) liveCount().fetch_add(1, std::memory_order_relaxed);
  }
  NativeBytes(NativeBytes&& other) noexcept { swap(other); }
  NativeBytes& operator=(NativeBytes&& other) noexcept {
    reset();
    swap(other);
    return *this;
  }
  ~NativeBytes() { reset(); }

  // Empty: there is no memory left.
  static NativeBytes allocate(size_t size) {
    auto* bytes = static_cast<uint8_t*>(std::malloc(size == 0 ? 1 : size));
    if (bytes == nullptr) return {};
    return {bytes, size, [](void* memory, size_t, void*) { std::free(memory); }, nullptr};
  }
  static NativeBytes copy(const void* bytes, size_t size) {
    NativeBytes copied = allocate(size);
    if (copied.bytes() != nullptr && size != 0) std::memcpy(copied.bytes(), bytes, size);
    return copied;
  }

  uint8_t* bytes() const { return bytes_; }
  size_t size() const { return size_; }
  void reset() {
    const gammaloop_release release = std::exchange(release_, nullptr);
    if (release != nullptr) {
      release(bytes_, size_, hint_);
      liveCount().fetch_sub(1, std::memory_order_relaxed);
    }
    bytes_ = nullptr;
    size_ = 0;
  }

  // Of the process: those whose memory has not been released. For tests.
  static std::atomic<int64_t>& liveCount() {
    static std::atomic<int64_t> count{0};
    return count;
  }

 private:
  void swap(NativeBytes& other) {
    std::swap(bytes_, other.bytes_);
    std::swap(size_, other.size_);
    std::swap(release_, other.release_);
    std::swap(hint_, other.hint_);
  }

  uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
  gammaloop_release release_ = nullptr;
  void* hint_ = nullptr;
};

}  // namespace gammaloop
