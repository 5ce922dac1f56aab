// Raw deflate (RFC 1951) by the zlib that the process has already: node exports it to addons; a program without one
// gets the system's shared library. Nothing is linked: where neither has it, isZlibAvailable() is false and create()
// null. Streams are owned by whoever made them. Thread: one at a time for each stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace gammaloop {

bool isZlibAvailable();

// zlib's stream: the layout has been the same since 1.2, and is checked against sizeof at init by zlib itself.
struct ZStream {
  const uint8_t* nextIn = nullptr;
  unsigned availableIn = 0;
  unsigned long totalIn = 0;
  uint8_t* nextOut = nullptr;
  unsigned availableOut = 0;
  unsigned long totalOut = 0;
  const char* message = nullptr;
  void* state = nullptr;
  void* allocate = nullptr;
  void* release = nullptr;
  void* opaque = nullptr;
  int dataType = 0;
  unsigned long checksum = 0;
  unsigned long reserved = 0;
};

class Inflater {
 public:
  // `windowBits` 9 to 15. Null: no zlib, or no memory.
  static std::unique_ptr<Inflater> create(int windowBits);
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  struct Step {
    size_t consumed = 0;
    size_t produced = 0;
    bool ok = true;      // false: not deflate data
    bool ended = false;  // a block was the last one (RFC 7692 7.2.3.5 allows it): reset() before more
  };
  Step step(std::span<const uint8_t> from, std::span<uint8_t> to);
  void reset();

 private:
  Inflater() = default;
  ZStream stream_;
};

class Deflater {
 public:
  static std::unique_ptr<Deflater> create(int level, int windowBits, int memLevel);
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  // The most bytes that `size` bytes become with one flush.
  size_t bound(size_t size);
  struct Step {
    size_t consumed = 0;
    size_t produced = 0;
  };
  // `flush`: everything given so far comes out, ending with 00 00 ff ff. All is out once `produced` is less than room.
  Step step(std::span<const uint8_t> from, std::span<uint8_t> to, bool flush);
  void reset();

 private:
  Deflater() = default;
  ZStream stream_;
};

}  // namespace gammaloop
