// The names behind Method and HeaderId, and headerIdOf: a field name to its id without allocation, in any letter case.
// Header-only so that the parser's loop is compiled together with it. All tables are constants, built and checked at
// compile time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "http/http_types.h"

namespace gammaloop {

inline constexpr std::array<std::string_view, kMethodCount> kMethodNames = {
    "DELETE",      "GET",   "HEAD",   "POST",       "PUT",       "CONNECT", "OPTIONS",  "TRACE",  "COPY",
    "LOCK",        "MKCOL", "MOVE",   "PROPFIND",   "PROPPATCH", "SEARCH",  "UNLOCK",   "BIND",   "REBIND",
    "UNBIND",      "ACL",   "REPORT", "MKACTIVITY", "CHECKOUT",  "MERGE",   "M-SEARCH", "NOTIFY", "SUBSCRIBE",
    "UNSUBSCRIBE", "PATCH", "PURGE",  "MKCALENDAR", "LINK",      "UNLINK",  "SOURCE",   "QUERY"};
static_assert(kMethodNames.back() == "QUERY");
static_assert(kMethodNames[static_cast<size_t>(Method::MSEARCH)] == "M-SEARCH");

inline constexpr size_t kHeaderIdCount = static_cast<size_t>(HeaderId::Count);

inline constexpr std::array<std::string_view, kHeaderIdCount> kHeaderNames = {
    "",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "dnt",
    "expect",
    "forwarded",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "referer",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "traceparent",
    "tracestate",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
    "x-requested-with",
};
static_assert(kHeaderNames.back() == "x-requested-with");
static_assert(kHeaderNames[static_cast<size_t>(HeaderId::Te)] == "te");

namespace lookup {

inline constexpr size_t kSlots = 256;
inline constexpr size_t kMinNameLength = 2;
inline constexpr size_t kMaxNameLength = 25;
inline constexpr size_t kWords = 4;

// Length and three letters tell all known names apart; this multiplier spreads them over the slots without a clash
// (found by trying; noClash() below proves it, and a new name that clashes needs a new multiplier).
inline constexpr uint32_t kMultiplier = 0x8D103ED3u;

constexpr size_t thirdLetterAt(size_t length) { return length * 3 / 4; }

constexpr size_t slotOf(size_t length, uint8_t first, uint8_t third, uint8_t last) {
  const uint32_t key = static_cast<uint32_t>(length) | static_cast<uint32_t>(first | 0x20) << 8 |
                       static_cast<uint32_t>(third | 0x20) << 16 | static_cast<uint32_t>(last | 0x20) << 24;
  return (key * kMultiplier) >> 24;
}

constexpr size_t slotOfName(std::string_view name) {
  return slotOf(name.size(), static_cast<uint8_t>(name[0]), static_cast<uint8_t>(name[thirdLetterAt(name.size())]),
                static_cast<uint8_t>(name[name.size() - 1]));
}

consteval bool noClash() {
  std::array<bool, kSlots> used{};
  for (size_t id = 1; id < kHeaderIdCount; id++) {
    bool& slot = used[slotOfName(kHeaderNames[id])];
    if (slot) return false;
    slot = true;
  }
  return true;
}
static_assert(noClash());

consteval std::array<uint8_t, kSlots> buildSlots() {
  std::array<uint8_t, kSlots> slots{};
  for (size_t id = 1; id < kHeaderIdCount; id++) slots[slotOfName(kHeaderNames[id])] = static_cast<uint8_t>(id);
  return slots;
}

inline constexpr std::array<uint8_t, kSlots> kSlotTable = buildSlots();

// A name as bytes to compare with, eight at a time. `fold` holds 0x20 where a letter stands, so that "-" matches only
// itself (0x0D | 0x20 is "-" too).
struct FoldedName {
  std::array<uint8_t, kWords * 8> bytes{};
  std::array<uint8_t, kWords * 8> fold{};
  std::array<uint8_t, kWords * 8> mask{};
  uint8_t length = 0;
};

consteval std::array<FoldedName, kHeaderIdCount> buildFolded() {
  std::array<FoldedName, kHeaderIdCount> all{};
  for (size_t id = 1; id < kHeaderIdCount; id++) {
    const std::string_view name = kHeaderNames[id];
    all[id].length = static_cast<uint8_t>(name.size());
    for (size_t i = 0; i < name.size(); i++) {
      all[id].bytes[i] = static_cast<uint8_t>(name[i]);
      all[id].fold[i] = name[i] == '-' ? 0 : 0x20;
      all[id].mask[i] = 0xFF;
    }
  }
  return all;
}

inline constexpr std::array<FoldedName, kHeaderIdCount> kFolded = buildFolded();

inline uint64_t load64(const uint8_t* p) {
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

}  // namespace lookup

// The id of the name at [name, name + length), or Unknown. Reads up to the next multiple of eight bytes, but never at
// or past `end`.
inline HeaderId headerIdOf(const uint8_t* name, size_t length, const uint8_t* end) {
  using namespace lookup;
  if (length < kMinNameLength || length > kMaxNameLength) return HeaderId::Unknown;
  const size_t id = kSlotTable[slotOf(length, name[0], name[thirdLetterAt(length)], name[length - 1])];
  const FoldedName& known = kFolded[id];
  if (known.length != length) return HeaderId::Unknown;
  const size_t rounded = (length + 7) & ~size_t{7};
  if (static_cast<size_t>(end - name) >= rounded) [[likely]] {
    for (size_t i = 0; i < rounded; i += 8) {
      const uint64_t folded = (load64(name + i) | load64(&known.fold[i])) & load64(&known.mask[i]);
      if (folded != load64(&known.bytes[i])) return HeaderId::Unknown;
    }
    return static_cast<HeaderId>(id);
  }
  for (size_t i = 0; i < length; i++) {
    if ((name[i] | known.fold[i]) != known.bytes[i]) return HeaderId::Unknown;
  }
  return static_cast<HeaderId>(id);
}

}  // namespace gammaloop
