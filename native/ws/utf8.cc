#include "ws/utf8.h"

#include "ws/mask.h"

namespace gammaloop {

bool Utf8Checker::feed(std::span<const uint8_t> bytes) {
  const size_t size = bytes.size();
  size_t at = 0;
  while (at < size) {
    if (expected_ == 0) {
      at += asciiPrefix(bytes.data() + at, size - at);
      // Up to the end of the vector that has other bytes, and on while they come.
      while (at < size && bytes[at] < 0x80) at++;
      if (at == size) return true;
      const uint8_t lead = bytes[at++];
      lowest_ = 0x80;
      highest_ = 0xbf;
      if (lead >= 0xc2 && lead <= 0xdf) {
        expected_ = 1;
      } else if (lead >= 0xe0 && lead <= 0xef) {
        expected_ = 2;
        if (lead == 0xe0) lowest_ = 0xa0;   // overlong below
        if (lead == 0xed) highest_ = 0x9f;  // surrogates above
      } else if (lead >= 0xf0 && lead <= 0xf4) {
        expected_ = 3;
        if (lead == 0xf0) lowest_ = 0x90;
        if (lead == 0xf4) highest_ = 0x8f;
      } else {
        return false;
      }
      continue;
    }
    const uint8_t next = bytes[at++];
    if (next < lowest_ || next > highest_) return false;
    lowest_ = 0x80;
    highest_ = 0xbf;
    expected_--;
  }
  return true;
}

}  // namespace gammaloop
