// The head of a request as JavaScript gets it: one latin1 text that holds an index and then the strings, so that the
// other side makes one string a request and slices names and values only when they are read.
//
//   index   for each field kHeadIndexEntryBytes bytes: HeaderId; name length (2, big-endian); value length (3,
//   big-endian) target  the request-target as received (absent for trailers) fields  name, value, name, value ... as
//   received, without separators
//
// The counterpart is lib/bridge/head-text.ts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "http/http1_parser.h"

namespace gammaloop {

inline constexpr size_t kHeadIndexEntryBytes = 6;

size_t headTextLength(uint32_t targetLength, std::span<const HeaderField> fields);
// Writes headTextLength() bytes to `out`; `bytes` is the buffer that the offsets refer to.
void writeHeadText(std::span<const uint8_t> bytes, uint32_t targetOffset, uint32_t targetLength,
                   std::span<const HeaderField> fields, uint8_t* out);

}  // namespace gammaloop
