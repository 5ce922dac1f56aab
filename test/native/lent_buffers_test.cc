#include "ring/lent_buffers.h"

#include <vector>

#include "test.h"

using namespace gammaloop;

namespace {

constexpr size_t kBytes = records::kLentBufferBytes;
constexpr size_t kPiece = LentBuffers::kMinPieceBytes;

struct Lent {
  Lent() : memory(records::kLentBufferCount, std::vector<uint8_t>(kBytes)) {
    for (uint32_t slot = 0; slot < memory.size(); slot++) lend(slot);
  }
  void lend(uint32_t slot) { buffers.lend(slot, memory[slot]); }

  std::vector<std::vector<uint8_t>> memory;
  LentBuffers buffers;
};

}  // namespace

TEST("lent buffers: without any there is no room, and nothing is taken") {
  LentBuffers buffers;
  EXPECT(buffers.next().empty());
  EXPECT(!buffers.wantTurn());
  const std::vector<uint8_t> bytes(kBytes);
  EXPECT(!buffers.take(bytes, kPiece).has_value());
}

TEST("lent buffers: the next room begins behind the last piece") {
  Lent lent;
  EXPECT_EQ(lent.buffers.next().size(), kBytes);
  const auto piece = lent.buffers.take(lent.buffers.next().subspan(100, kPiece), kPiece);
  EXPECT(piece.has_value() && piece->slot == 0 && piece->start == 100 && !piece->isLast);
  EXPECT(lent.buffers.next().data() == lent.memory[0].data() + 100 + kPiece);
  EXPECT_EQ(lent.buffers.next().size(), kBytes - 100 - kPiece);
}

TEST("lent buffers: small pieces, pieces from elsewhere and pieces over the end are not taken") {
  Lent lent;
  EXPECT(!lent.buffers.take(lent.buffers.next().first(kPiece - 1), kPiece).has_value());
  EXPECT(!lent.buffers.take(lent.memory[1], kPiece).has_value());
  const std::vector<uint8_t> elsewhere(kPiece);
  EXPECT(!lent.buffers.take(elsewhere, kPiece).has_value());
  EXPECT(!lent.buffers.take({lent.memory[0].data() + kBytes - 1, kPiece}, kPiece).has_value());
  EXPECT_EQ(lent.buffers.next().size(), kBytes);
}

TEST("lent buffers: what was taken is not taken again") {
  Lent lent;
  const std::span<uint8_t> room = lent.buffers.next();
  EXPECT(lent.buffers.take(room.subspan(kPiece, kPiece), kPiece).has_value());
  EXPECT(!lent.buffers.take(room.subspan(kPiece + 1, kPiece), kPiece).has_value());
  EXPECT(!lent.buffers.take(room.first(kPiece), kPiece).has_value());
}

TEST("lent buffers: a buffer goes back with the piece that leaves too little, and the slots take turns") {
  Lent lent;
  for (uint32_t round = 0; round < 3; round++) {
    for (uint32_t slot = 0; slot < records::kLentBufferCount; slot++) {
      lent.buffers.onTurn();
      EXPECT(!lent.buffers.wantTurn());
      const auto piece = lent.buffers.take(lent.buffers.next().first(kBytes - kPiece), kPiece);
      EXPECT(piece.has_value() && piece->slot == slot && piece->start == 0 && piece->isLast);
    }
    EXPECT(lent.buffers.wantTurn());
    EXPECT(lent.buffers.next().empty());
    lent.buffers.onTurn();
    EXPECT(!lent.buffers.wantTurn());  // nobody is rung for again before something is lent
    for (uint32_t slot = 0; slot < records::kLentBufferCount; slot++) lent.lend(slot);
  }
}

TEST("lent buffers: the application is to have its turn before it has more than fits in a cache") {
  Lent lent;
  size_t taken = 0;
  for (bool wanted = false; !wanted; wanted = lent.buffers.wantTurn()) {
    EXPECT(taken < LentBuffers::kTurnBytes);
    EXPECT(lent.buffers.take(lent.buffers.next().first(kPiece), kPiece).has_value());
    taken += kPiece;
  }
  EXPECT_EQ(taken, LentBuffers::kTurnBytes);
  lent.buffers.onTurn();
  EXPECT(!lent.buffers.wantTurn());
}

TEST("lent buffers: a buffer that a message fills half of is given back once another would not fit twice") {
  std::vector<uint8_t> memory(4 * kBytes);
  LentBuffers buffers;
  buffers.lend(0, memory);
  constexpr size_t kMessage = 100 * 1024;
  const auto first = buffers.take(buffers.next().first(kMessage), kPiece);
  EXPECT(first.has_value() && !first->isLast);
  const auto second = buffers.take(buffers.next().first(kMessage), kPiece);
  EXPECT(second.has_value() && second->start == kMessage && second->isLast);
  EXPECT(buffers.next().empty());
}

TEST("lent buffers: small pieces of data fill a buffer as far as there is room for more") {
  Lent lent;
  constexpr size_t kData = LentBuffers::kMinDataBytes;
  EXPECT(!lent.buffers.take(lent.buffers.next().first(kData - 1), kData).has_value());
  size_t pieces = 0;
  for (bool isLast = false; !isLast; pieces++) {
    const auto piece = lent.buffers.take(lent.buffers.next().first(kData), kData);
    EXPECT(piece.has_value() && piece->slot == 0 && piece->start == pieces * kData);
    isLast = piece->isLast;
  }
  EXPECT_EQ(pieces, (kBytes - 4 * 1024) / kData + 1);
  EXPECT(lent.buffers.next().data() == lent.memory[1].data());
}
