#include <cstring>

#include "ws/mask.h"

namespace gammaloop {

namespace {
using Vector = uint64_t __attribute__((vector_size(16)));
constexpr size_t kVectorBytes = sizeof(Vector);
constexpr uint64_t kHighBits = 0x8080808080808080;

Vector load(const uint8_t* bytes) {
  Vector vector;
  std::memcpy(&vector, bytes, kVectorBytes);
  return vector;
}

bool hasHighBit(Vector vector) { return ((vector[0] | vector[1]) & kHighBits) != 0; }
}  // namespace

bool copyUnmasked(uint8_t* to, const uint8_t* from, size_t size, const uint8_t mask[4], size_t phase) {
  uint8_t turned[kVectorBytes];
  for (size_t i = 0; i < kVectorBytes; i++) turned[i] = mask[(phase + i) % 4];
  const Vector key = load(turned);
  Vector seen = {0, 0};
  size_t at = 0;
  for (; at + 2 * kVectorBytes <= size; at += 2 * kVectorBytes) {
    const Vector first = load(from + at) ^ key;
    const Vector second = load(from + at + kVectorBytes) ^ key;
    std::memcpy(to + at, &first, kVectorBytes);
    std::memcpy(to + at + kVectorBytes, &second, kVectorBytes);
    seen |= first | second;
  }
  uint8_t seenByte = 0;
  for (; at < size; at++) {
    to[at] = static_cast<uint8_t>(from[at] ^ turned[at % 4]);
    seenByte |= to[at];
  }
  return !hasHighBit(seen) && !(seenByte & 0x80);
}

size_t asciiPrefix(const uint8_t* bytes, size_t size) {
  size_t at = 0;
  for (; at + kVectorBytes <= size; at += kVectorBytes) {
    if (hasHighBit(load(bytes + at))) return at;
  }
  while (at < size && bytes[at] < 0x80) at++;
  return at;
}

}  // namespace gammaloop
