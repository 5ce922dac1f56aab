#include "http/response_writer.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace gammaloop {

namespace {

struct Reason {
  uint16_t status;
  std::string_view phrase;
};

// As node's http.STATUS_CODES.
constexpr Reason kReasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Payload Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a Teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Entity"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {509, "Bandwidth Limit Exceeded"},
    {510, "Not Extended"},
    {511, "Network Authentication Required"},
};

constexpr auto makeReasonTable() {
  std::array<std::string_view, 600> table{};
  for (const Reason& reason : kReasons) table[reason.status] = reason.phrase;
  return table;
}
constexpr auto kReasonTable = makeReasonTable();

uint8_t* put(uint8_t* out, std::string_view text) {
  if (text.empty()) return out;  // it may have no address, which memcpy does not allow
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

}  // namespace

std::string_view standardReason(uint16_t status) { return status < kReasonTable.size() ? kReasonTable[status] : ""; }

void DateLine::update(std::time_t now) {
  if (now == second_) return;
  second_ = now;
  std::tm utc{};
  gmtime_r(&now, &utc);
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  char line[96];
  std::snprintf(line, sizeof line, "date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", kDays[utc.tm_wday], utc.tm_mday,
                kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  std::memcpy(text_, line, kBytes);
}

bool statusHasNoBody(uint16_t status) { return status == 204 || status == 304 || status < 200; }

size_t responseHeadBound(const ResponseHead& head) {
  // Status line 13 and a phrase of at most 31; date 37; connection 24; the longer of the framing fields 38; the empty
  // line.
  return 160 + head.reason.size() + head.fields.size();
}

size_t writeResponseHead(const ResponseHead& head, const DateLine& date, uint8_t* out) {
  uint8_t* p = out;
  if (head.status == 200 && head.reason.empty()) {
    p = put(p, "HTTP/1.1 200 OK\r\n");
  } else {
    p = put(p, "HTTP/1.1 ");
    *p++ = static_cast<uint8_t>('0' + head.status / 100 % 10);
    *p++ = static_cast<uint8_t>('0' + head.status / 10 % 10);
    *p++ = static_cast<uint8_t>('0' + head.status % 10);
    *p++ = ' ';
    p = put(p, head.reason.empty() ? standardReason(head.status) : head.reason);
    p = put(p, kCrlf);
  }
  p = put(p, head.fields);
  if (head.withDate) p = put(p, date.text());
  if (head.connection == ConnectionField::KeepAlive) p = put(p, "connection: keep-alive\r\n");
  if (head.connection == ConnectionField::Close) p = put(p, "connection: close\r\n");
  if (head.framing == BodyFraming::Length) {
    p = put(p, "content-length: ");
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, head.contentLength);
    p = put(p, {digits, static_cast<size_t>(end.ptr - digits)});
    p = put(p, kCrlf);
  } else if (head.framing == BodyFraming::Chunked) {
    p = put(p, "transfer-encoding: chunked\r\n");
  }
  p = put(p, kCrlf);
  return static_cast<size_t>(p - out);
}

size_t writeChunkHead(uint64_t size, uint8_t* out) {
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, size, 16);
  uint8_t* p = put(out, {digits, static_cast<size_t>(end.ptr - digits)});
  return static_cast<size_t>(put(p, kCrlf) - out);
}

}  // namespace gammaloop
