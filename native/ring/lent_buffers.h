// LentBuffers: memory that JavaScript lends, so that large bodies are received where the application will have them,
// without a copy. A read lands in next(); what turns out to be a stretch of a body is handed over by place
// (kBodyLent... in records.h) instead of by value. A buffer of which a piece was handed over is never written to before
// the end of that piece again, and goes back for good with its last one.
//
// Owned by the engine; the memory is JavaScript's, which keeps a buffer until its last piece has come. Thread: the
// reactor's.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ring/records.h"

namespace gammaloop {

class LentBuffers {
 public:
  // A smaller piece would hold on to much more memory than it is worth: it is copied. Of bodies, which come in many
  // pieces, and of data, which may be a message of its own.
  static constexpr size_t kMinPieceBytes = 16 * 1024;
  static constexpr size_t kMinDataBytes = 1024;
  // So much is a turn of the application's worth.
  static constexpr size_t kTurnBytes = 64 * 1024;

  struct Piece {
    uint32_t slot;
    uint32_t start;
    bool isLast;  // the slot's buffer has gone back
  };

  // Slots are lent, used and lent again in turn.
  void lend(uint32_t slot, std::span<uint8_t> memory) {
    if (slots_[slot].empty()) lentCount_++;
    slots_[slot] = memory;
    wasUsedUp_ = false;
  }

  // Room for a read; empty where nothing is lent.
  std::span<uint8_t> next() const {
    const std::span<uint8_t> memory = slots_[slot_];
    return memory.subspan(memory.empty() ? 0 : used_);
  }

  // Hands `bytes` over by place, where they landed in next() and are `enough`. Of one read, in their order.
  std::optional<Piece> take(std::span<const uint8_t> bytes, size_t enough) {
    const std::span<uint8_t> memory = slots_[slot_];
    if (bytes.size() < enough || memory.empty()) return std::nullopt;
    const auto at = reinterpret_cast<uintptr_t>(bytes.data());
    const auto start = reinterpret_cast<uintptr_t>(memory.data());
    if (at < start + used_ || at + bytes.size() > start + memory.size()) return std::nullopt;
    Piece piece{slot_, static_cast<uint32_t>(at - start), false};
    used_ = static_cast<uint32_t>(at - start + bytes.size());
    takenBytes_ += bytes.size();
    if (memory.size() - used_ < std::clamp(2 * bytes.size(), kMinRoomBytes, memory.size() / 2)) {
      piece.isLast = true;
      slots_[slot_] = {};
      slot_ = (slot_ + 1) % slots_.size();
      used_ = 0;
      wasUsedUp_ = --lentCount_ == 0;
    }
    return piece;
  }

  // The application's turn: all that was lent has gone back, or there is so much for it that what it does with it
  // should still find it in the cache.
  bool wantTurn() const { return wasUsedUp_ || takenBytes_ >= kTurnBytes; }
  // It has had its turn; without anything lent, bodies are copied.
  void onTurn() {
    wasUsedUp_ = false;
    takenBytes_ = 0;
  }

 private:
  // Less room than for two more of its size, and than half of the buffer, would cut what follows a piece into small
  // reads.
  static constexpr size_t kMinRoomBytes = 4 * 1024;

  std::array<std::span<uint8_t>, records::kLentBufferCount> slots_;
  uint32_t slot_ = 0;  // the one in use
  uint32_t used_ = 0;  // of it, from its start
  uint32_t lentCount_ = 0;
  size_t takenBytes_ = 0;  // since the application's last turn
  bool wasUsedUp_ = false;
};

}  // namespace gammaloop
