// Backlog: what the kernel did not take of a connection's output, in the order in which it is to leave. Small pieces
// are copied one behind another into blocks; of a frame that is on its way to many connections all have one copy. Owned
// by its connection, and there only while something waits. Thread: the reactor's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "sys/sockets.h"

namespace gammaloop {

// A frame for many connections, in the batch's memory (Reactor::share). `copy` is made where the first of them cannot
// send all of it at once.
struct SharedFrame {
  using Copy = std::shared_ptr<const std::vector<uint8_t>>;
  // Below it, a copy for each is cheaper.
  static constexpr size_t kMinBytes = 512;

  std::span<const uint8_t> bytes;
  Copy copy{};

  const Copy& kept() {
    if (copy == nullptr) copy = std::make_shared<const std::vector<uint8_t>>(bytes.begin(), bytes.end());
    return copy;
  }
};

class Backlog {
 public:
  size_t size() const { return size_; }

  void append(std::span<const uint8_t> bytes);
  // The frame from `start` on.
  void append(SharedFrame& frame, size_t start);

  struct Offer {
    size_t slices;
    size_t bytes;
  };
  // The beginning of it, in at most so many slices.
  Offer offer(std::span<IoSlice> slices) const;
  // So much has left.
  void consume(size_t byteCount);

 private:
  static constexpr size_t kBlockBytes = 64 * 1024;

  // Of `own`, which may still grow, or of `shared`: from `start` to the end.
  struct Piece {
    std::vector<uint8_t> own;
    SharedFrame::Copy shared;
    size_t start;
    std::span<const uint8_t> rest() const { return std::span(shared == nullptr ? own : *shared).subspan(start); }
  };

  std::deque<Piece> pieces_;
  size_t size_ = 0;
};

}  // namespace gammaloop
