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
    size_t consumed = 0;                // bytes of the input used up by this step, data included
    std::span<const uint8_t> data{};    // with Data
    HttpError error = HttpError::None;  // with Error
  };

  // overheadBytes: extensions, needless leading zeros of sizes, and trailers together, per body (413
  // ChunkOverheadExceeded above it); chunkBytes: the same of one chunk. The plain size line of a chunk with data is
  // free: a long upload in small chunks is legitimate, and its data is bounded elsewhere.
  explicit ChunkedDecoder(uint32_t overheadBytes = 16 * 1024, uint32_t chunkBytes = UINT32_MAX)
      : overheadLimit_(overheadBytes), chunkLimit_(chunkBytes) {}

  void reset();
  // Takes one step: call again with the rest until NeedMore (input used up), Done or Error.
  // After Done, trailers() is the raw trailer section (field lines and the empty line) for parseTrailers.
  Step decode(std::span<const uint8_t> input);
  const std::string& trailers() const { return trailers_; }

 private:
  enum class State : uint8_t {
    Size,  // before the first digit
    SizeDigits,
    ExtensionName,
    ExtensionValue,
    Quoted,
    QuotedPair,
    QuotedEnd,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
    Failed,
  };

  Step fail(HttpError error, size_t consumed);
  HttpError takeSizeByte(uint8_t byte);
  HttpError takeExtensionByte(uint8_t byte);
  HttpError takeTrailerByte(uint8_t byte);
  HttpError countOverhead();

  uint64_t remaining_ = 0;  // of the chunk: its size while that is read, then the data still to come
  uint32_t overhead_ = 0;
  uint32_t overheadLimit_;
  uint32_t chunkOverhead_ = 0;
  uint32_t chunkLimit_;
  uint8_t digits_ = 0;
  bool tokenEmpty_ = true;  // of the extension name or value being read
  State state_ = State::Size;
  HttpError error_ = HttpError::None;
  std::string trailers_;
};

}  // namespace gammaloop
