// GuardedCopy: bytes placed so that the one after the last lies in a page that may not be touched. A parser that reads
// past its input dies at once, with or without sanitizers. Owns its mapping.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>

namespace gammaloop::test {

class GuardedCopy {
 public:
  explicit GuardedCopy(size_t capacity) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    usable_ = (capacity + page - 1) / page * page;
    if (usable_ == 0) usable_ = page;
    mapped_ = usable_ + page;
    void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    base_ = static_cast<uint8_t*>(memory);
    if (mprotect(base_ + usable_, page, PROT_NONE) != 0) std::abort();
  }
  ~GuardedCopy() { munmap(base_, mapped_); }
  GuardedCopy(const GuardedCopy&) = delete;
  GuardedCopy& operator=(const GuardedCopy&) = delete;

  // The copy lives until the next call.
  std::span<const uint8_t> place(std::string_view text) {
    if (text.size() > usable_) std::abort();
    uint8_t* const start = base_ + usable_ - text.size();
    if (!text.empty()) std::memcpy(start, text.data(), text.size());
    return {start, text.size()};
  }

 private:
  uint8_t* base_ = nullptr;
  size_t usable_ = 0;
  size_t mapped_ = 0;
};

}  // namespace gammaloop::test
