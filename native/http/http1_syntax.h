// The small grammar of HTTP/1 heads: byte classes, the scans over them, and the checks of values that decide framing
// and routing. Header-only for the parser's loop. Reads only inside the ranges given; no state.
//
// The checks take `complete`: false means that more bytes of the value may follow, and then only what no further byte
// can heal is refused.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace gammaloop::syntax {

enum ByteClass : uint8_t { kTchar = 1, kDigit = 2, kHex = 4, kAlpha = 8, kRegName = 16, kValue = 32 };

consteval std::array<uint8_t, 256> buildClasses() {
  std::array<uint8_t, 256> table{};
  for (int c = 0; c < 256; c++) {
    const bool digit = c >= '0' && c <= '9';
    const bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool hex = digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    const auto isIn = [c](std::string_view set) { return c != 0 && set.find(static_cast<char>(c)) != set.npos; };
    uint8_t bits = 0;
    if (digit || alpha || isIn("!#$%&'*+-.^_`|~")) bits |= kTchar;
    if (digit) bits |= kDigit;
    if (hex) bits |= kHex;
    if (alpha) bits |= kAlpha;
    if (digit || alpha || isIn("-._~!$&'()*+,;=")) bits |= kRegName;  // RFC 3986 unreserved and sub-delims
    if ((c >= 0x20 && c != 0x7F) || c == '\t') bits |= kValue;
    table[static_cast<size_t>(c)] = bits;
  }
  return table;
}

inline constexpr std::array<uint8_t, 256> kClasses = buildClasses();

inline bool is(uint8_t byte, ByteClass which) { return (kClasses[byte] & which) != 0; }

// The first byte in [p, end) below `kFloor`, equal to DEL or, with kAsciiOnly, above it; eight bytes a step. In the
// word tricks a byte above a hit may be marked falsely, never one below it, so the lowest mark is right on
// little-endian machines; others take the byte loop.
template <uint8_t kFloor, bool kAsciiOnly>
inline const uint8_t* findControl(const uint8_t* p, const uint8_t* end) {
  if constexpr (std::endian::native == std::endian::little) {
    constexpr uint64_t kOnes = 0x0101010101010101u;
    constexpr uint64_t kHighs = kOnes << 7;
    while (end - p >= 8) {
      uint64_t word;
      std::memcpy(&word, p, sizeof word);
      const uint64_t below = (word - kOnes * kFloor) & ~word;
      const uint64_t xored = word ^ (kOnes * 0x7F);
      const uint64_t marks = (below | ((xored - kOnes) & ~xored) | (kAsciiOnly ? word : 0)) & kHighs;
      if (marks != 0) return p + (std::countr_zero(marks) >> 3);
      p += 8;
    }
  }
  while (p != end && *p >= kFloor && *p != 0x7F && (!kAsciiOnly || *p < 0x80)) p++;
  return p;
}

// The first byte that cannot stand in a request-target: as RFC 3986 and node's parser have it, only visible ASCII can.
inline const uint8_t* findTargetEnd(const uint8_t* p, const uint8_t* end) { return findControl<0x21, true>(p, end); }

// The first byte that cannot stand in a field value (tab may).
inline const uint8_t* findValueEnd(const uint8_t* p, const uint8_t* end) {
  while (true) {
    p = findControl<0x20, false>(p, end);
    if (p == end || *p != '\t') return p;
    p++;
  }
}

// The first ":" within the next 32 bytes, or `end` when there is none or the buffer is too short to look eight bytes at
// a time. Only a shortcut to names that are known; what it answers says nothing about the bytes before it.
inline const uint8_t* findNearColon(const uint8_t* p, const uint8_t* end) {
  if constexpr (std::endian::native == std::endian::little) {
    constexpr uint64_t kOnes = 0x0101010101010101u;
    for (int words = 0; words < 4 && end - p >= 8; words++, p += 8) {
      uint64_t word;
      std::memcpy(&word, p, sizeof word);
      const uint64_t xored = word ^ (kOnes * ':');
      const uint64_t marks = (xored - kOnes) & ~xored & (kOnes << 7);
      if (marks != 0) return p + (std::countr_zero(marks) >> 3);
    }
  }
  return end;
}

inline const uint8_t* findNonTchar(const uint8_t* p, const uint8_t* end) {
  while (p != end && is(*p, kTchar)) p++;
  return p;
}

inline bool isBlank(uint8_t byte) { return byte == ' ' || byte == '\t'; }

inline uint8_t lower(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? static_cast<uint8_t>(byte | 0x20) : byte; }

// `expected` in lower case.
inline bool equalsIgnoreCase(const uint8_t* p, size_t length, std::string_view expected) {
  if (length != expected.size()) return false;
  for (size_t i = 0; i < length; i++) {
    if (lower(p[i]) != static_cast<uint8_t>(expected[i])) return false;
  }
  return true;
}

// Is [p, p + length) `expected`, or, when more may follow, the beginning of it?
inline bool matchesToken(const uint8_t* p, size_t length, std::string_view expected, bool complete) {
  if (complete ? length != expected.size() : length > expected.size()) return false;
  return equalsIgnoreCase(p, length, expected.substr(0, length));
}

inline constexpr uint64_t kMaxSafeInteger = (uint64_t{1} << 53) - 1;  // JavaScript's largest exact integer

// 1*DIGIT up to kMaxSafeInteger.
inline bool parseContentLength(const uint8_t* p, size_t length, bool complete, uint64_t& value) {
  value = 0;
  if (length == 0) return !complete;
  for (size_t i = 0; i < length; i++) {
    if (!is(p[i], kDigit)) return false;
    value = value * 10 + (p[i] - '0');
    if (value > kMaxSafeInteger) return false;
  }
  return true;
}

enum class HostForm : uint8_t { Field, Authority, AuthorityWithPort };

// uri-host [ ":" port ] of RFC 3986. Field: may be empty (RFC 9112 3.2). Authority: not. AuthorityWithPort: the port
// must be there and fit 16 bits (CONNECT, RFC 9110 9.3.6).
inline bool isHost(const uint8_t* p, size_t length, bool complete, HostForm form) {
  if (length == 0) return !complete || form == HostForm::Field;
  size_t i = 0;
  if (p[0] == '[') {
    i = 1;
    const bool future =
        length > 1 && lower(p[1]) == 'v';  // IPvFuture = "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )
    size_t dotAt = 0;
    for (; i < length && p[i] != ']'; i++) {
      if (!future) {
        if (!is(p[i], kHex) && p[i] != ':' && p[i] != '.') return false;
      } else if (i > 1 && dotAt == 0) {
        if (p[i] == '.' && i > 2) {
          dotAt = i;
        } else if (!is(p[i], kHex)) {
          return false;
        }
      } else if (i > 1 && !is(p[i], kRegName) && p[i] != ':') {
        return false;
      }
    }
    if (i == length) return !complete;
    if (i == 1 || (future && (dotAt == 0 || i == dotAt + 1))) return false;
    i++;
    if (i < length && p[i] != ':') return false;
  } else {
    for (; i < length && p[i] != ':'; i++) {
      if (p[i] == '%') {
        for (int digit = 0; digit < 2; digit++) {
          if (++i == length) return !complete;
          if (!is(p[i], kHex)) return false;
        }
      } else if (!is(p[i], kRegName)) {
        return false;
      }
    }
    if (i == 0) return false;  // ":80"
  }
  if (i == length) return !complete || form != HostForm::AuthorityWithPort;
  i++;
  uint32_t port = 0;
  const size_t portAt = i;
  for (; i < length; i++) {
    if (!is(p[i], kDigit)) return false;
    if (form == HostForm::AuthorityWithPort) {
      port = port * 10 + (p[i] - '0');
      if (port > 65535) return false;
    }
  }
  return !complete || form != HostForm::AuthorityWithPort || (i > portAt && port > 0);
}

// absolute-form: scheme "://" authority [ path ] [ "?" query ]. The scheme has letters only, and no "#" follows the
// authority, as node's parser has it; user information is refused (RFC 9110 4.2.4). All bytes are visible ASCII.
inline bool isAbsoluteForm(const uint8_t* p, size_t length, bool complete) {
  size_t i = 0;
  while (i < length && is(p[i], kAlpha)) i++;
  if (i == 0) return length == 0 && !complete;
  for (const char expected : {':', '/', '/'}) {
    if (i == length) return !complete;
    if (p[i++] != static_cast<uint8_t>(expected)) return false;
  }
  const size_t hostAt = i;
  while (i < length && p[i] != '/' && p[i] != '?') i++;
  return isHost(p + hostAt, i - hostAt, complete || i < length, HostForm::Authority);
}

}  // namespace gammaloop::syntax
