// ChunkedDecoder: RFC 9112 7.1 transfer coding, byte by byte resumable. No copy: data comes back as spans of the input.
// Owned by the session of one connection; reset() before each body.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "http/http_types.h"

namespace gammaloop {

class ChunkedDecoder {
 public:
  enum class Status : uint8_t { NeedMore, Data, Done, Error };
  struct Step {
    Status status = Status::NeedMore;
    size_t consumed = 0;               // bytes of the input used up by this step, data included
    std::span<const uint8_t> data{};   // with Data
    HttpError error = HttpError::None; // with Error
  };

  // overheadBytes: size lines, extensions and trailers together, per body (413 ChunkOverheadExceeded above it).
  explicit ChunkedDecoder(uint32_t overheadBytes = 16 * 1024) : overheadLimit_(overheadBytes) {}

  void reset();
  // Takes one step: call again with the rest until NeedMore (input used up), Done or Error.
  // After Done, trailers() is the raw trailer section (field lines and the empty line) for parseTrailers.
  Step decode(std::span<const uint8_t> input);
  const std::string& trailers() const { return trailers_; }

 private:
  enum class State : uint8_t { Size, SizeDigits, Extension, SizeLf, Data, DataCr, DataLf, Trailers, Done, Failed };
  uint64_t remaining_ = 0;
  uint32_t overhead_ = 0;
  uint32_t overheadLimit_;
  State state_ = State::Size;
  std::string trailers_;
};

}  // namespace gammaloop
