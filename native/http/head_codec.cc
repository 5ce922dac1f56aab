#include "http/head_codec.h"

#include <cstring>

namespace gammaloop {

size_t headTextLength(uint32_t targetLength, std::span<const HeaderField> fields) {
  size_t total = targetLength + fields.size() * kHeadIndexEntryBytes;
  for (const HeaderField& field : fields) total += size_t{field.nameLength} + field.valueLength;
  return total;
}

void writeHeadText(std::span<const uint8_t> bytes, uint32_t targetOffset, uint32_t targetLength,
                   std::span<const HeaderField> fields, uint8_t* out) {
  // The parser keeps names below 2^16 and values below 2^24 bytes, so nothing is cut off here.
  for (const HeaderField& field : fields) {
    out[0] = static_cast<uint8_t>(field.id);
    out[1] = static_cast<uint8_t>(field.nameLength >> 8);
    out[2] = static_cast<uint8_t>(field.nameLength);
    out[3] = static_cast<uint8_t>(field.valueLength >> 16);
    out[4] = static_cast<uint8_t>(field.valueLength >> 8);
    out[5] = static_cast<uint8_t>(field.valueLength);
    out += kHeadIndexEntryBytes;
  }
  if (targetLength > 0) std::memcpy(out, bytes.data() + targetOffset, targetLength);
  out += targetLength;
  for (const HeaderField& field : fields) {
    std::memcpy(out, bytes.data() + field.nameOffset, field.nameLength);
    out += field.nameLength;
    std::memcpy(out, bytes.data() + field.valueOffset, field.valueLength);
    out += field.valueLength;
  }
}

}  // namespace gammaloop
