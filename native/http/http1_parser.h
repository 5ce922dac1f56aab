// parseRequestHead: one HTTP/1.0 or 1.1 request head out of a byte buffer, strict as RFC 9112 where leniency lets
// requests be smuggled. Stateless: the caller keeps the bytes, and calls again with more of them when told NeedMore.
//
// Guaranteed: reads only inside `bytes`; writes only inside `fields`; never NeedMore when the buffer already holds a
// violation that no further byte can heal; for every prefix of an accepted head the answer is NeedMore; limits hold
// before memory is touched. Leading empty lines (CRLF) before the request line are skipped and counted in headLength.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "http/http_types.h"

namespace gammaloop {

// Offsets are from the start of the buffer. The value is stripped of surrounding spaces and tabs.
struct HeaderField {
  uint32_t nameOffset = 0;
  uint32_t nameLength = 0;
  uint32_t valueOffset = 0;
  uint32_t valueLength = 0;
  HeaderId id = HeaderId::Unknown;
};

struct ParserLimits {
  uint32_t headerBytes = 16 * 1024;  // the whole head, request line included; see nodeRules
  uint32_t headerCount = 100;
  bool requireHost = true;  // false: a request without Host is accepted on 1.1, too
  // true: what node takes, and by which no message passes for another: any value of Host, the target * with M-SEARCH,
  // and an Expect other than 100-continue, which is flagged. Then headerBytes is one more than the bytes of target,
  // names and values together; what stands between them has a bound of its own (mostHeadBytes).
  bool nodeRules = false;
};

// A head longer than that is refused unread.
constexpr size_t mostHeadBytes(const ParserLimits& limits) {
  return limits.nodeRules ? size_t{limits.headerBytes} * 2 + 16 * 1024 : limits.headerBytes;
}

struct RequestHead {
  Method method = Method::GET;
  uint8_t versionMinor = 1;
  bool keepAlive = false;  // as version and Connection ask
  bool chunked = false;
  bool hasContentLength = false;
  bool expectContinue = false;  // Expect: 100-continue on 1.1; any other expectation is InvalidExpectation (417)
  bool expectOther = false;     // with nodeRules: another expectation, and no 100-continue
  bool upgrade = false;         // Upgrade present and named in Connection, or CONNECT
  uint32_t targetOffset = 0;
  uint32_t targetLength = 0;
  uint32_t headLength = 0;  // bytes consumed, the empty line included; unless Done: how many were understood
  uint32_t fieldCount = 0;
  uint64_t contentLength = 0;
};

enum class ParseStatus : uint8_t { Done, NeedMore, Error };

struct ParseOutcome {
  ParseStatus status = ParseStatus::NeedMore;
  HttpError error = HttpError::None;
};

// `fields` must hold limits.headerCount entries.
ParseOutcome parseRequestHead(std::span<const uint8_t> bytes, const ParserLimits& limits, RequestHead& head,
                              std::span<HeaderField> fields);

// The field lines of a trailer section (RFC 9112 7.1.2) up to and including the empty line. Framing, routing and
// authentication fields are ForbiddenTrailer. `consumed`: how many bytes were understood; when Done,
// the section's length.
ParseOutcome parseTrailers(std::span<const uint8_t> bytes, const ParserLimits& limits, std::span<HeaderField> fields,
                           uint32_t& fieldCount, uint32_t& consumed);

}  // namespace gammaloop
