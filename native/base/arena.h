// Arena: memory that lives until the end of the batch. Bump allocation in blocks that are kept from batch to batch, so
// that a steady load allocates nothing. Owned by the reactor; its thread. Everything handed out is void after reset().
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/poison.h"

namespace gammaloop {

class Arena {
 public:
  // At least `size` bytes to be filled in; advance() then keeps the part that was used. Never fails (out of memory ends
  // the process, as everywhere). Aligned for any type as long as only multiples of 16 are taken.
  uint8_t* reserve(size_t size) {
    if (size > static_cast<size_t>(end_ - next_)) [[unlikely]]
      grow(size);
    unpoison(next_, size);
    return next_;
  }
  void advance(size_t size) { next_ += size; }

  void reset() {
    if (blocks_.size() > kKeptBlocks) blocks_.resize(kKeptBlocks);
    for (const Block& block : blocks_) poison(block.memory.get(), block.size);
    block_ = 0;
    next_ = blocks_.empty() ? nullptr : blocks_[0].memory.get();
    end_ = blocks_.empty() ? nullptr : next_ + blocks_[0].size;
  }

 private:
  static constexpr size_t kBlockBytes = 64 * 1024;
  static constexpr size_t kKeptBlocks = 16;

  struct Block {
    std::unique_ptr<uint8_t[]> memory;
    size_t size;
  };

  void grow(size_t size) {
    while (!blocks_.empty() && ++block_ < blocks_.size()) {
      if (blocks_[block_].size >= size) {
        next_ = blocks_[block_].memory.get();
        end_ = next_ + blocks_[block_].size;
        return;
      }
    }
    const size_t bytes = size > kBlockBytes ? size : kBlockBytes;
    blocks_.push_back({std::unique_ptr<uint8_t[]>(new uint8_t[bytes]), bytes});
    block_ = blocks_.size() - 1;
    next_ = blocks_[block_].memory.get();
    end_ = next_ + bytes;
  }

  std::vector<Block> blocks_;
  size_t block_ = 0;
  uint8_t* next_ = nullptr;
  uint8_t* end_ = nullptr;
};

}  // namespace gammaloop
