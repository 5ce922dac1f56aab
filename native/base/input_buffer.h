// InputBuffer: what a session has read and not yet used: the beginning of what goes on with the next read, and all of
// it while the session waits. Empty it takes the room of a pointer, for most sessions use what they read at once.
//
// `process` gets bytes and says how many of them it used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/lazy_vector.h"

namespace gammaloop {

class InputBuffer {
 public:
  bool empty() const { return kept_.empty(); }
  // `process` is under way: it is not to be called again from within.
  bool isInProcess() const { return inProcess_; }

  // Bytes that have come, behind those that are kept.
  template <typename Process>
  void read(std::span<const uint8_t> bytes, Process process) {
    if (!empty()) {
      append(bytes);
      return readKept(process);
    }
    inProcess_ = true;
    const size_t used = process(bytes);
    inProcess_ = false;
    if (used < bytes.size()) append(bytes.subspan(used));
  }

  template <typename Process>
  void readKept(Process process) {
    inProcess_ = true;
    const size_t used = process(std::span<const uint8_t>(kept_.get()));
    inProcess_ = false;
    std::vector<uint8_t>& kept = kept_.get();  // not what it was, if the session ended meanwhile
    if (used >= kept.size()) {
      release();  // an idle connection keeps no buffer
    } else {
      kept.erase(kept.begin(), kept.begin() + static_cast<ptrdiff_t>(used));
    }
  }

  void append(std::span<const uint8_t> bytes) { kept_.get().insert(kept_.get().end(), bytes.begin(), bytes.end()); }
  void release() { kept_.release(); }
  std::vector<uint8_t> take() {
    std::vector<uint8_t> bytes;
    if (!empty()) bytes.swap(kept_.get());
    release();
    return bytes;
  }

 private:
  LazyVector<uint8_t> kept_;
  bool inProcess_ = false;
};

}  // namespace gammaloop
