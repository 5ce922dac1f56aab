// Utf8Checker: whether bytes are UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF), told piece
// by piece, at the first byte that cannot be. Runs of ASCII go by vectors (mask.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gammaloop {

class Utf8Checker {
 public:
  // False: it cannot become UTF-8 any more, whatever follows.
  bool feed(std::span<const uint8_t> bytes);
  // At the end of a character.
  bool isComplete() const { return expected_ == 0; }
  void reset() { expected_ = 0; }

 private:
  uint8_t expected_ = 0;   // continuation bytes that are to come
  uint8_t lowest_ = 0x80;  // the range of the next of them
  uint8_t highest_ = 0xbf;
};

}  // namespace gammaloop
