// The application's side of lent buffers, as lib/bridge/lent-buffers.ts is. Checks that a piece which was handed over
// is never written to again. Thread: the test's.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "engine/engine.h"
#include "ring/records.h"

namespace gammaloop::test {

class Lender {
 public:
  explicit Lender(Engine& engine) : engine_(engine) {
    for (uint32_t slot = 0; slot < records::kLentBufferCount; slot++) lend(slot);
  }
  ~Lender() { check(); }

  // The bytes of a record laid out as kBody.
  std::string_view read(uint32_t flags, const uint8_t* record) {
    using namespace records;  // NOLINT
    const uint32_t size = loadWord(record, kBodyLengthOffset);
    if (!(flags & kBodyLentFlag)) return {reinterpret_cast<const char*>(record) + kBodyBytes, size};
    const uint32_t slot = loadWord(record, kBodyLentSlotOffset);
    const uint32_t start = loadWord(record, kBodyLentStartOffset);
    GAMMALOOP_CHECK(slot < kLentBufferCount && lent_[slot] != nullptr && start + size <= kLentBufferBytes);
    GAMMALOOP_CHECK(size >= LentBuffers::kMinDataBytes);
    const std::string_view bytes(reinterpret_cast<const char*>(lent_[slot]) + start, size);
    pieces_.push_back({bytes, std::string(bytes)});
    if (flags & kBodyLentLastFlag) {
      lent_[slot] = nullptr;
      wanted_.push_back(slot);
    }
    pieceCount++;
    return bytes;
  }

  // After a batch.
  void replenish() {
    if (!isLending) return;
    for (const uint32_t slot : wanted_) lend(slot);
    wanted_.clear();
  }

  // All that was handed over is as it was.
  void check() const {
    for (const Piece& piece : pieces_) GAMMALOOP_CHECK(piece.bytes == piece.before);
  }

  bool isLending = true;
  int pieceCount = 0;

 private:
  struct Piece {
    std::string_view bytes;
    std::string before;
  };

  void lend(uint32_t slot) {
    GAMMALOOP_CHECK(lent_[slot] == nullptr);
    buffers_.push_back(std::make_unique<uint8_t[]>(records::kLentBufferBytes));
    lent_[slot] = buffers_.back().get();
    engine_.lend(slot, {lent_[slot], records::kLentBufferBytes});
  }

  Engine& engine_;
  std::vector<std::unique_ptr<uint8_t[]>> buffers_;  // all that ever was lent
  uint8_t* lent_[records::kLentBufferCount] = {};
  std::vector<uint32_t> wanted_;
  std::vector<Piece> pieces_;
};

}  // namespace gammaloop::test
