// Parcel: the bytes of a job's input or output that do not fit into its slot, in parts of their own size each: encoded
// values, and large buffers as they are. They stay until taken, so a job whose consumer died before it began has its
// input still. Owns its memory. Thread: whoever owns the job's slot.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

namespace gammaloop {

struct FreeBytes {
  void operator()(uint8_t* bytes) const { std::free(bytes); }
};

struct ParcelPart {
  std::unique_ptr<uint8_t[], FreeBytes> bytes;
  size_t size = 0;
};

using Parcel = std::vector<ParcelPart>;

// False: out of memory; the parcel is as it was.
inline bool addCopy(Parcel& parcel, const void* bytes, size_t size) {
  auto* copy = static_cast<uint8_t*>(std::malloc(size == 0 ? 1 : size));
  if (copy == nullptr) return false;
  if (size != 0) std::memcpy(copy, bytes, size);
  parcel.push_back({std::unique_ptr<uint8_t[], FreeBytes>(copy), size});
  return true;
}

}  // namespace gammaloop
