#include "base/arena.h"

#include <cstring>
#include <vector>

#include "test.h"

using namespace gammaloop;

TEST("arena: what was advanced over stays; the rest of a reservation is given again") {
  Arena arena;
  uint8_t* first = arena.reserve(100);
  std::memset(first, 1, 100);
  arena.advance(40);
  uint8_t* second = arena.reserve(100);
  EXPECT(second == first + 40);
  EXPECT(arena.reserve(0) == second);
}

TEST("arena: pieces of every size are apart and keep their bytes") {
  Arena arena;
  struct Piece {
    uint8_t* at;
    size_t size;
    uint8_t fill;
  };
  for (int batch = 0; batch < 4; batch++) {
    std::vector<Piece> pieces;
    uint8_t fill = 0;
    for (size_t size : {1, 64 * 1024, 7, 64 * 1024 - 7, 1, 300'000, 0, 5, 64 * 1024, 200'000, 13}) {
      Piece piece{arena.reserve(size), size, ++fill};
      std::memset(piece.at, piece.fill, size);
      arena.advance(size);
      pieces.push_back(piece);
    }
    for (const Piece& piece : pieces) {
      for (size_t i = 0; i < piece.size; i++) {
        if (piece.at[i] != piece.fill) {
          EXPECT_EQ(i, piece.size);
          break;
        }
      }
    }
    arena.reset();
  }
}

TEST("arena: a steady load reuses the same memory") {
  Arena arena;
  uint8_t* first = arena.reserve(10);
  arena.advance(10);
  for (int i = 0; i < 5; i++) {
    arena.reserve(60'000);
    arena.advance(60'000);
  }
  arena.reset();
  EXPECT(arena.reserve(10) == first);
}

TEST("arena: after a large batch only so many blocks are kept, and they work") {
  Arena arena;
  for (int i = 0; i < 100; i++) {
    std::memset(arena.reserve(64 * 1024), 3, 64 * 1024);
    arena.advance(64 * 1024);
  }
  arena.reset();
  for (int i = 0; i < 100; i++) {
    std::memset(arena.reserve(64 * 1024), 4, 64 * 1024);
    arena.advance(64 * 1024);
  }
}

TEST("arena: multiples of 16 keep every type's alignment") {
  Arena arena;
  for (int i = 0; i < 5000; i++) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(arena.reserve(48)) % 16, 0u);
    arena.advance(48);
  }
}
