// ResponseWriter: the head of a response and the framing of its body, as bytes. No I/O, no state but the date, which is
// formatted once a second.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string_view>

namespace gammaloop {

// "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" (RFC 9110 5.6.7).
class DateLine {
 public:
  static constexpr size_t kBytes = 37;
  void update(std::time_t now);
  std::string_view text() const { return {text_, kBytes}; }

 private:
  std::time_t second_ = -1;
  char text_[kBytes] = {};
};

enum class BodyFraming : uint8_t {
  Length,   // content-length: `contentLength`
  Chunked,  // transfer-encoding: chunked
  Close,    // until the connection closes (HTTP/1.0)
  None,     // no length is announced: 204, and 304 without a known one
};

enum class ConnectionField : uint8_t { Absent, KeepAlive, Close };

struct ResponseHead {
  uint16_t status = 200;
  std::string_view reason;  // "": the standard phrase
  std::string_view fields;  // "name: value\r\n"..., checked by the caller (TypeScript, before it crossed the border)
  BodyFraming framing = BodyFraming::Length;
  ConnectionField connection = ConnectionField::Absent;
  bool withDate = true;
  uint64_t contentLength = 0;
};

// RFC 9110 6.4.1: no body, whatever the header fields say.
bool statusHasNoBody(uint16_t status);

// An upper bound for writeResponseHead.
size_t responseHeadBound(const ResponseHead& head);
// Returns the number of bytes written.
size_t writeResponseHead(const ResponseHead& head, const DateLine& date, uint8_t* out);

inline constexpr size_t kChunkHeadBytes = 18;  // sixteen digits and CRLF
size_t writeChunkHead(uint64_t size, uint8_t* out);
inline constexpr std::string_view kLastChunk = "0\r\n";
inline constexpr std::string_view kCrlf = "\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

std::string_view standardReason(uint16_t status);  // "" when there is none

}  // namespace gammaloop
