// Fuzz target: request head, head text, chunked body and trailers of arbitrary bytes. Besides crashes it looks for
// broken promises of the headers: offsets inside the buffer, the prefix rule, limits, and results that depend on how
// the input was split.
//
// The first input byte chooses: the limits, and whether the rest is a head, a chunked body or a trailer section.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "http/chunked_decoder.h"
#include "http/head_codec.h"
#include "http/http1_parser.h"

using namespace gammaloop;

namespace {

using Bytes = std::span<const uint8_t>;

// An exact heap copy, so that the address sanitizer sees a read of one byte too many.
class ExactCopy {
 public:
  explicit ExactCopy(Bytes bytes) : memory_(new uint8_t[bytes.size()]), size_(bytes.size()) {
    std::copy(bytes.begin(), bytes.end(), memory_.get());
  }
  Bytes bytes() const { return {memory_.get(), size_}; }

 private:
  std::unique_ptr<uint8_t[]> memory_;
  size_t size_;
};

bool same(const ParseOutcome& a, const ParseOutcome& b) { return a.status == b.status && a.error == b.error; }

void checkFields(Bytes bytes, uint32_t consumed, std::span<const HeaderField> fields) {
  GAMMALOOP_CHECK(consumed <= bytes.size());
  for (const HeaderField& field : fields) {
    GAMMALOOP_CHECK(field.nameLength > 0);
    GAMMALOOP_CHECK(uint64_t{field.nameOffset} + field.nameLength < consumed);
    GAMMALOOP_CHECK(uint64_t{field.valueOffset} + field.valueLength < consumed);
    GAMMALOOP_CHECK(field.valueOffset > field.nameOffset + field.nameLength);
    const std::string_view known = headerName(field.id);
    GAMMALOOP_CHECK(known.empty() == (field.id == HeaderId::Unknown));
    GAMMALOOP_CHECK(known.empty() || known.size() == field.nameLength);
    for (uint32_t i = 0; i < field.valueLength; i++) {
      const uint8_t byte = bytes[field.valueOffset + i];
      GAMMALOOP_CHECK(byte != '\r' && byte != '\n' && byte != 0);
    }
  }
}

ParseOutcome parseHead(Bytes bytes, const ParserLimits& limits, RequestHead& head, std::vector<HeaderField>& fields) {
  fields.assign(limits.headerCount, {});
  return parseRequestHead(bytes, limits, head, fields);
}

void fuzzHead(Bytes input, const ParserLimits& limits) {
  RequestHead head;
  std::vector<HeaderField> fields;
  const ExactCopy whole(input);
  const ParseOutcome outcome = parseHead(whole.bytes(), limits, head, fields);
  if (outcome.status == ParseStatus::Done) {
    GAMMALOOP_CHECK(head.headLength <= limits.headerBytes && head.fieldCount <= limits.headerCount);
    GAMMALOOP_CHECK(head.targetLength > 0 && uint64_t{head.targetOffset} + head.targetLength < head.headLength);
    GAMMALOOP_CHECK(!(head.chunked && head.hasContentLength));
    GAMMALOOP_CHECK(head.contentLength <= (uint64_t{1} << 53) - 1);
    GAMMALOOP_CHECK(std::equal(&"\r\n"[0], &"\r\n"[2], &input[head.headLength - 2]));
    const std::span<const HeaderField> used = std::span(fields).first(head.fieldCount);
    checkFields(input, head.headLength, used);
    std::vector<uint8_t> text(headTextLength(head.targetLength, used));
    writeHeadText(whole.bytes(), head.targetOffset, head.targetLength, used, text.data());
    const uint8_t* const target = text.data() + used.size() * kHeadIndexEntryBytes;
    GAMMALOOP_CHECK(std::equal(target, target + head.targetLength, &input[head.targetOffset]));
  } else if (outcome.status == ParseStatus::Error) {
    GAMMALOOP_CHECK(statusOf(outcome.error) >= 400);
  }
  // Prefixes: NeedMore, or already the verdict of the whole. All of a short input, some of a long one.
  const size_t step = input.size() / 200 + 1;
  for (size_t length = 0; length < input.size(); length += step) {
    const ExactCopy prefix(input.first(length));
    const ParseOutcome part = parseHead(prefix.bytes(), limits, head, fields);
    if (part.status != ParseStatus::NeedMore) GAMMALOOP_CHECK(same(part, outcome));
    if (outcome.status == ParseStatus::NeedMore) GAMMALOOP_CHECK(part.status == ParseStatus::NeedMore);
  }
}

void fuzzTrailers(Bytes input, const ParserLimits& limits) {
  std::vector<HeaderField> fields(limits.headerCount);
  uint32_t count = 0;
  uint32_t consumed = 0;
  const ExactCopy whole(input);
  const ParseOutcome outcome = parseTrailers(whole.bytes(), limits, fields, count, consumed);
  if (outcome.status == ParseStatus::Done) {
    GAMMALOOP_CHECK(consumed <= limits.headerBytes && count <= limits.headerCount);
    checkFields(input, consumed, std::span(fields).first(count));
  }
  const size_t step = input.size() / 200 + 1;
  for (size_t length = 0; length < input.size(); length += step) {
    const ExactCopy prefix(input.first(length));
    const ParseOutcome part = parseTrailers(prefix.bytes(), limits, fields, count, consumed);
    if (part.status != ParseStatus::NeedMore) GAMMALOOP_CHECK(same(part, outcome));
  }
}

struct Decoded {
  std::string data;
  std::string trailers;
  size_t consumed = 0;
  ChunkedDecoder::Status status = ChunkedDecoder::Status::NeedMore;
  HttpError error = HttpError::None;
  bool operator==(const Decoded&) const = default;
};

Decoded decodeInPieces(Bytes input, size_t pieceSize, uint32_t overheadBytes) {
  Decoded decoded;
  ChunkedDecoder decoder(overheadBytes);
  while (decoded.consumed < input.size()) {
    const ExactCopy piece(input.subspan(decoded.consumed, std::min(pieceSize, input.size() - decoded.consumed)));
    const ChunkedDecoder::Step step = decoder.decode(piece.bytes());
    GAMMALOOP_CHECK(step.consumed <= piece.bytes().size());
    GAMMALOOP_CHECK(step.data.empty() == (step.status != ChunkedDecoder::Status::Data));
    if (!step.data.empty()) {
      GAMMALOOP_CHECK(step.data.data() + step.data.size() == piece.bytes().data() + step.consumed);
      GAMMALOOP_CHECK(step.data.size() <= step.consumed);
      decoded.data.append(reinterpret_cast<const char*>(step.data.data()), step.data.size());
    }
    if (step.status == ChunkedDecoder::Status::NeedMore) GAMMALOOP_CHECK(step.consumed == piece.bytes().size());
    decoded.consumed += step.consumed;
    decoded.error = step.error;
    // Data or NeedMore at the end of the input is only a matter of the split.
    decoded.status = step.status == ChunkedDecoder::Status::Data ? ChunkedDecoder::Status::NeedMore : step.status;
    if (step.status == ChunkedDecoder::Status::Done || step.status == ChunkedDecoder::Status::Error) break;
  }
  decoded.trailers = decoder.trailers();
  GAMMALOOP_CHECK(decoded.trailers.size() <= overheadBytes);
  return decoded;
}

void fuzzChunked(Bytes input, uint32_t overheadBytes) {
  const Decoded whole = decodeInPieces(input, input.size(), overheadBytes);
  for (const size_t pieceSize : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, input.size() / 2 + 1}) {
    GAMMALOOP_CHECK(decodeInPieces(input, pieceSize, overheadBytes) == whole);
  }
  if (whole.status == ChunkedDecoder::Status::Done) {
    const Bytes trailers{reinterpret_cast<const uint8_t*>(whole.trailers.data()), whole.trailers.size()};
    std::vector<HeaderField> fields(100);
    uint32_t count = 0;
    uint32_t consumed = 0;
    const ParseOutcome outcome =
        parseTrailers(trailers, {.headerBytes = overheadBytes, .headerCount = 100}, fields, count, consumed);
    // The decoder's end of the section is the parser's end.
    GAMMALOOP_CHECK(outcome.status != ParseStatus::NeedMore);
    if (outcome.status == ParseStatus::Done) GAMMALOOP_CHECK(consumed == trailers.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes input{data + 1, size - 1};
  const bool tight = (data[0] & 4) != 0;
  const ParserLimits limits = tight ? ParserLimits{.headerBytes = 64, .headerCount = 3} : ParserLimits{};
  switch (data[0] & 3) {
    case 1:
      fuzzChunked(input, tight ? 8 : 16 * 1024);
      break;
    case 2:
      fuzzTrailers(input, limits);
      break;
    default:
      fuzzHead(input, limits);
  }
  return 0;
}
