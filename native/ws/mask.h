// Masking (RFC 6455 5.3) and the search for bytes beyond ASCII: the two loops that see every byte of a message. One
// file for each way to write them: mask_vector.cc with the vector types of GCC and Clang, which become SSE2, NEON or
// whatever the target has.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gammaloop {

// Copies `size` bytes and takes the mask off. `phase`: how many bytes of the payload come before these, modulo 4.
// `from` and `to` are equal or do not overlap. True: all of the result is ASCII.
bool copyUnmasked(uint8_t* to, const uint8_t* from, size_t size, const uint8_t mask[4], size_t phase);

// How many bytes from the start are ASCII, at least: a multiple of the vector's size, or all.
size_t asciiPrefix(const uint8_t* bytes, size_t size);

}  // namespace gammaloop
