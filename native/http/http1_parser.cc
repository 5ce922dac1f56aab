#include "http/http1_parser.h"

#include <algorithm>
#include <bit>

#include "http/header_lookup.h"
#include "http/http1_syntax.h"

namespace gammaloop {

namespace {

using namespace syntax;

constexpr ParseOutcome kNeedMore{ParseStatus::NeedMore, HttpError::None};
constexpr ParseOutcome kDone{ParseStatus::Done, HttpError::None};
constexpr ParseOutcome fail(HttpError error) { return {ParseStatus::Error, error}; }

// What HeadText has room for (head_codec.h).
constexpr size_t kMaxNameBytes = 0xFFFF;
constexpr size_t kMaxValueBytes = 0xFFFFFF;

constexpr uint64_t bitOf(HeaderId id) { return uint64_t{1} << static_cast<unsigned>(id); }
static_assert(static_cast<unsigned>(HeaderId::Count) <= 64);

// Fields that say how the message is framed, routed or answered.
constexpr uint64_t kMeaningfulFields = bitOf(HeaderId::Host) | bitOf(HeaderId::ContentLength) |
                                       bitOf(HeaderId::Transfer_Encoding) | bitOf(HeaderId::Connection) |
                                       bitOf(HeaderId::Upgrade) | bitOf(HeaderId::Expect);

// Framing, routing, authentication, and how the body is to be read: an attacker could add them behind a proxy's back.
constexpr uint64_t kForbiddenTrailers =
    bitOf(HeaderId::ContentLength) | bitOf(HeaderId::Transfer_Encoding) | bitOf(HeaderId::Trailer) |
    bitOf(HeaderId::Te) | bitOf(HeaderId::Connection) | bitOf(HeaderId::KeepAlive) | bitOf(HeaderId::ProxyConnection) |
    bitOf(HeaderId::Upgrade) | bitOf(HeaderId::Expect) | bitOf(HeaderId::Host) | bitOf(HeaderId::MaxForwards) |
    bitOf(HeaderId::Forwarded) | bitOf(HeaderId::Authorization) | bitOf(HeaderId::ProxyAuthorization) |
    bitOf(HeaderId::Cookie) | bitOf(HeaderId::ContentEncoding) | bitOf(HeaderId::ContentType);

// A field value without the spaces and tabs around it.
struct Value {
  const uint8_t* start;
  size_t length;
  bool trailingBlank;
  bool trailingTab;
};

Value strip(const uint8_t* p, const uint8_t* end) {
  while (p != end && isBlank(*p)) p++;
  const uint8_t* last = end;
  bool tab = false;
  while (last != p && isBlank(last[-1])) tab |= *--last == '\t';
  return {p, static_cast<size_t>(last - p), last != end, tab};
}

// Gathers the meaning of the fields of one head. Every check is made at the earliest byte that decides it, so that the
// verdict on a message does not depend on how its bytes were split into reads.
class HeadMeaning {
 public:
  HeadMeaning(uint8_t versionMinor, const ParserLimits& rules, size_t targetLength)
      : rules_(rules), textBytes_(targetLength), versionMinor_(versionMinor) {}

  // Names and values have room for so many bytes more.
  bool hasRoom(size_t more) const { return !rules_.nodeRules || textBytes_ + more < rules_.headerBytes; }
  void take(size_t bytes) { textBytes_ += bytes; }

  // At the colon.
  HttpError onName(HeaderId id) {
    const uint64_t bit = bitOf(id);
    if ((bit & kMeaningfulFields) == 0) return HttpError::None;
    const bool again = (seen_ & bit) != 0;
    seen_ |= bit;
    switch (id) {
      case HeaderId::Host:
        return again ? HttpError::DuplicateHost : HttpError::None;
      case HeaderId::ContentLength:
        if (again) return HttpError::DuplicateContentLength;
        return has(HeaderId::Transfer_Encoding) ? HttpError::ContentLengthWithTransferEncoding : HttpError::None;
      case HeaderId::Transfer_Encoding:
        if (versionMinor_ == 0) return HttpError::TransferEncodingInHttp10;
        if (has(HeaderId::ContentLength)) return HttpError::ContentLengthWithTransferEncoding;
        return again ? HttpError::InvalidTransferEncoding : HttpError::None;
      default:
        return HttpError::None;
    }
  }

  // `complete` as in http1_syntax.h.
  HttpError onValue(HeaderId id, const Value& stripped, bool complete) {
    if ((bitOf(id) & kMeaningfulFields) == 0) return HttpError::None;
    const uint8_t* const value = stripped.start;
    const size_t length = stripped.length;
    switch (id) {
      case HeaderId::Host:
        if (rules_.nodeRules) return HttpError::None;
        return isHost(value, length, complete, HostForm::Field) ? HttpError::None : HttpError::InvalidHost;
      case HeaderId::ContentLength:
        // A tab behind a framing value is allowed by the grammar, but parsers disagree on it (node's refuses it).
        if (stripped.trailingTab) return HttpError::InvalidContentLength;
        return parseContentLength(value, length, complete, contentLength_) ? HttpError::None
                                                                           : HttpError::InvalidContentLength;
      case HeaderId::Transfer_Encoding:
        if (stripped.trailingTab) return HttpError::InvalidTransferEncoding;
        return matchesToken(value, length, "chunked", complete) ? HttpError::None : HttpError::InvalidTransferEncoding;
      case HeaderId::Expect:
        if (matchesToken(value, length, "100-continue", complete)) {
          expectContinue_ |= complete;
          return HttpError::None;
        }
        return rules_.nodeRules ? HttpError::None : HttpError::InvalidExpectation;
      case HeaderId::Connection:
        if (complete) readConnection(value, length);
        return HttpError::None;
      default:
        return HttpError::None;
    }
  }

  HttpError onEnd() const {
    return versionMinor_ == 1 && rules_.requireHost && !has(HeaderId::Host) ? HttpError::MissingHost : HttpError::None;
  }

  void fill(RequestHead& head) const {
    head.versionMinor = versionMinor_;
    head.keepAlive = !close_ && (versionMinor_ == 1 || keepAlive_);
    head.chunked = has(HeaderId::Transfer_Encoding);
    head.hasContentLength = has(HeaderId::ContentLength);
    head.contentLength = head.hasContentLength ? contentLength_ : 0;
    // A server ignores both on 1.0 (RFC 9110 7.8, 10.1.1).
    head.expectContinue = versionMinor_ == 1 && expectContinue_;
    head.expectOther = versionMinor_ == 1 && has(HeaderId::Expect) && !expectContinue_;
    head.upgrade = head.method == Method::CONNECT || (versionMinor_ == 1 && has(HeaderId::Upgrade) && upgrade_);
  }

 private:
  bool has(HeaderId id) const { return (seen_ & bitOf(id)) != 0; }

  void readConnection(const uint8_t* p, size_t length) {
    const uint8_t* const end = p + length;
    while (p != end) {
      const uint8_t* const comma = std::find(p, end, static_cast<uint8_t>(','));
      const uint8_t* first = p;
      const uint8_t* last = comma;
      while (first != last && isBlank(*first)) first++;
      while (first != last && isBlank(last[-1])) last--;
      const size_t size = static_cast<size_t>(last - first);
      close_ |= equalsIgnoreCase(first, size, "close");
      keepAlive_ |= equalsIgnoreCase(first, size, "keep-alive");
      upgrade_ |= equalsIgnoreCase(first, size, "upgrade");
      p = comma == end ? end : comma + 1;
    }
  }

  const ParserLimits& rules_;
  uint64_t seen_ = 0;
  uint64_t contentLength_ = 0;
  size_t textBytes_;
  uint8_t versionMinor_;
  bool expectContinue_ = false;
  bool close_ = false;
  bool keepAlive_ = false;
  bool upgrade_ = false;
};

// A trailer section has only one rule beyond the syntax: some fields may not stand there.
class TrailerMeaning {
 public:
  bool hasRoom(size_t) const { return true; }
  void take(size_t) {}
  HttpError onName(HeaderId id) const {
    return (bitOf(id) & kForbiddenTrailers) != 0 ? HttpError::ForbiddenTrailer : HttpError::None;
  }
  HttpError onValue(HeaderId, const Value&, bool) const { return HttpError::None; }
  HttpError onEnd() const { return HttpError::None; }
};

// CRLF at `p`; moves behind it.
ParseOutcome takeLineEnd(const uint8_t*& p, const uint8_t* end) {
  if (p == end) return kNeedMore;
  if (*p != '\r') return fail(HttpError::InvalidLineEnding);
  if (p + 1 == end) return kNeedMore;
  if (p[1] != '\n') return fail(HttpError::InvalidLineEnding);
  p += 2;
  return kDone;
}

// The field lines and the empty line from `p` on. `base` is what offsets count from.
template <typename Meaning>
ParseOutcome parseFields(const uint8_t* base, const uint8_t*& p, const uint8_t* end, std::span<HeaderField> fields,
                         uint32_t& fieldCount, Meaning& meaning) {
  uint32_t count = 0;
  while (true) {
    if (p == end) return kNeedMore;
    const uint8_t first = *p;
    if (first == '\r') {
      if (const HttpError error = meaning.onEnd(); error != HttpError::None) return fail(error);
      fieldCount = count;
      return takeLineEnd(p, end);
    }
    if (isBlank(first)) return fail(count > 0 ? HttpError::ObsoleteFolding : HttpError::InvalidHeaderName);
    if (first == '\n') return fail(HttpError::InvalidLineEnding);
    if (count >= fields.size()) return fail(HttpError::HeaderCountExceeded);

    const uint8_t* const name = p;
    // A known name is made of token bytes, so most names need no look at each byte.
    p = findNearColon(name, end);
    HeaderId id = p != end ? headerIdOf(name, static_cast<size_t>(p - name), end) : HeaderId::Unknown;
    if (id == HeaderId::Unknown) {
      p = findNonTchar(name, end);
      const size_t scanned = static_cast<size_t>(p - name);
      if (scanned > kMaxNameBytes || !meaning.hasRoom(scanned)) return fail(HttpError::HeaderBytesExceeded);
      if (p == end) return kNeedMore;
      if (*p != ':' || scanned == 0)
        return fail(*p == '\n' ? HttpError::InvalidLineEnding : HttpError::InvalidHeaderName);
      id = headerIdOf(name, scanned, end);  // near the buffer's end the shortcut may have missed it
    }
    const size_t nameLength = static_cast<size_t>(p - name);
    if (const HttpError error = meaning.onName(id); error != HttpError::None) return fail(error);
    p++;

    const uint8_t* const rawValue = p;
    p = findValueEnd(p, end);
    const bool ended = p != end && *p == '\r';
    const Value value = strip(rawValue, p);
    // Blanks behind the value count, as on node.
    const size_t textBytes = nameLength + static_cast<size_t>(p - value.start);
    if (value.length > kMaxValueBytes || !meaning.hasRoom(textBytes)) return fail(HttpError::HeaderBytesExceeded);
    meaning.take(textBytes);
    const bool complete = ended || value.trailingBlank;
    if (const HttpError error = meaning.onValue(id, value, complete); error != HttpError::None) {
      return fail(error);
    }
    if (!ended) {
      if (p == end) return kNeedMore;
      return fail(*p == '\n' ? HttpError::InvalidLineEnding : HttpError::InvalidHeaderValue);
    }
    if (const ParseOutcome line = takeLineEnd(p, end); line.status != ParseStatus::Done) return line;

    HeaderField& field = fields[count++];
    field.nameOffset = static_cast<uint32_t>(name - base);
    field.nameLength = static_cast<uint32_t>(nameLength);
    field.valueOffset = static_cast<uint32_t>(value.start - base);
    field.valueLength = static_cast<uint32_t>(value.length);
    field.id = id;
  }
}

// The method and the space behind it.
ParseOutcome parseMethod(const uint8_t*& p, const uint8_t* end, Method& method) {
  const size_t available = static_cast<size_t>(end - p);
  if (available >= 5) [[likely]] {
    if (std::memcmp(p, "GET ", 4) == 0) {
      method = Method::GET;
      p += 4;
      return kDone;
    }
    if (std::memcmp(p, "POST ", 5) == 0) {
      method = Method::POST;
      p += 5;
      return kDone;
    }
  }
  if (available == 0) return kNeedMore;
  bool prefix = false;
  for (size_t i = 0; i < kMethodNames.size(); i++) {
    const std::string_view name = kMethodNames[i];
    if (std::memcmp(p, name.data(), std::min(available, name.size())) != 0) continue;
    if (available <= name.size()) {
      prefix = true;
    } else if (p[name.size()] == ' ') {
      method = static_cast<Method>(i);
      p += name.size() + 1;
      return kDone;
    }
  }
  return prefix ? kNeedMore : fail(HttpError::InvalidMethod);
}

bool isTarget(Method method, const uint8_t* p, size_t length, bool complete, const ParserLimits& rules) {
  if (length == 0) return !complete;
  // Where node's rules hold, a path too: what follows the head is not HTTP whatever the target is.
  const bool isPath = p[0] == '/' && rules.nodeRules;
  if (method == Method::CONNECT && !isPath) return isHost(p, length, complete, HostForm::AuthorityWithPort);
  if (p[0] == '/') return true;
  if (p[0] == '*') return length == 1 && (method == Method::OPTIONS || (rules.nodeRules && method == Method::MSEARCH));
  return isAbsoluteForm(p, length, complete);
}

// The target and the space behind it.
ParseOutcome parseTarget(const uint8_t* base, const uint8_t*& p, const uint8_t* end, const ParserLimits& rules,
                         RequestHead& head) {
  const uint8_t* const target = p;
  p = findTargetEnd(p, end);
  const size_t length = static_cast<size_t>(p - target);
  const bool complete = p != end && *p == ' ';
  if (!isTarget(head.method, target, length, complete, rules)) return fail(HttpError::InvalidTarget);
  if (length >= rules.headerBytes) return fail(HttpError::HeaderBytesExceeded);
  if (p == end) return kNeedMore;
  if (!complete) {
    if (*p == '\n') return fail(HttpError::InvalidLineEnding);
    return fail(*p == '\r' && length > 0 ? HttpError::InvalidVersion : HttpError::InvalidTarget);
  }
  head.targetOffset = static_cast<uint32_t>(target - base);
  head.targetLength = static_cast<uint32_t>(length);
  p++;
  return kDone;
}

ParseOutcome parseVersion(const uint8_t*& p, const uint8_t* end, uint8_t& minor) {
  static constexpr std::string_view kPrefix = "HTTP/";
  const size_t available = static_cast<size_t>(end - p);
  if (std::memcmp(p, kPrefix.data(), std::min(available, kPrefix.size())) != 0) return fail(HttpError::InvalidVersion);
  if (available > 5 && !is(p[5], kDigit)) return fail(HttpError::InvalidVersion);
  if (available > 6 && p[6] != '.') return fail(HttpError::InvalidVersion);
  if (available <= 7) return kNeedMore;
  if (!is(p[7], kDigit)) return fail(HttpError::InvalidVersion);
  if (p[5] != '1') return fail(HttpError::UnsupportedVersion);
  if (p[7] > '1') return fail(HttpError::InvalidVersion);  // 1.2 to 1.9 do not exist; node refuses them the same way
  minor = static_cast<uint8_t>(p[7] - '0');
  p += 8;
  if (p != end && *p != '\r' && *p != '\n') return fail(HttpError::InvalidVersion);
  return kDone;
}

ParseOutcome parseHead(std::span<const uint8_t> bytes, const ParserLimits& rules, RequestHead& head,
                       std::span<HeaderField> fields) {
  const uint8_t* const base = bytes.data();
  const uint8_t* const end = base + bytes.size();
  const uint8_t* p = base;
  const auto stop = [&](ParseOutcome step) {
    head.headLength = static_cast<uint32_t>(p - base);
    return step;
  };
  while (p != end && (*p == '\r' || *p == '\n')) {
    if (const ParseOutcome line = takeLineEnd(p, end); line.status != ParseStatus::Done) return stop(line);
  }
  ParseOutcome step = parseMethod(p, end, head.method);
  if (step.status != ParseStatus::Done) return stop(step);
  step = parseTarget(base, p, end, rules, head);
  if (step.status != ParseStatus::Done) return stop(step);
  uint8_t minor = 1;
  step = parseVersion(p, end, minor);
  if (step.status != ParseStatus::Done) return stop(step);
  step = takeLineEnd(p, end);
  if (step.status != ParseStatus::Done) return stop(step);
  HeadMeaning meaning(minor, rules, head.targetLength);
  step = parseFields(base, p, end, fields, head.fieldCount, meaning);
  if (step.status != ParseStatus::Done) return stop(step);
  meaning.fill(head);
  return stop(kDone);
}

// Only what the limits allow is looked at, so that a limit answers the same however the bytes arrive.
template <typename Parse>
ParseOutcome withinLimits(std::span<const uint8_t> bytes, const ParserLimits& limits, std::span<HeaderField> fields,
                          Parse parse) {
  const size_t visible = std::min<size_t>(bytes.size(), mostHeadBytes(limits));
  const ParseOutcome outcome =
      parse(bytes.first(visible), fields.first(std::min<size_t>(fields.size(), limits.headerCount)));
  if (outcome.status == ParseStatus::NeedMore && bytes.size() > visible) return fail(HttpError::HeaderBytesExceeded);
  return outcome;
}

}  // namespace

ParseOutcome parseRequestHead(std::span<const uint8_t> bytes, const ParserLimits& limits, RequestHead& head,
                              std::span<HeaderField> fields) {
  return withinLimits(bytes, limits, fields, [&](std::span<const uint8_t> visible, std::span<HeaderField> room) {
    return parseHead(visible, limits, head, room);
  });
}

ParseOutcome parseTrailers(std::span<const uint8_t> bytes, const ParserLimits& limits, std::span<HeaderField> fields,
                           uint32_t& fieldCount, uint32_t& consumed) {
  return withinLimits(bytes, limits, fields, [&](std::span<const uint8_t> visible, std::span<HeaderField> room) {
    const uint8_t* p = visible.data();
    TrailerMeaning meaning;
    ParseOutcome outcome = parseFields(visible.data(), p, visible.data() + visible.size(), room, fieldCount, meaning);
    consumed = static_cast<uint32_t>(p - visible.data());
    switch (outcome.error) {
      case HttpError::InvalidHeaderName:
      case HttpError::InvalidHeaderValue:
      case HttpError::ObsoleteFolding:
        return fail(HttpError::InvalidTrailer);
      default:
        return outcome;
    }
  });
}

}  // namespace gammaloop
