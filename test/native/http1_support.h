// Helpers of the HTTP/1 tests: parse a text, name the outcome, and check the prefix rule of http1_parser.h for it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "guard_page.h"
#include "http/http1_parser.h"

namespace gammaloop::test {

inline std::span<const uint8_t> bytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Parsed {
  ParseOutcome outcome;
  RequestHead head;
  std::vector<HeaderField> fields;  // only the filled ones
};

inline Parsed parse(std::span<const uint8_t> bytes, const ParserLimits& limits = {}) {
  Parsed parsed;
  parsed.fields.resize(limits.headerCount);
  parsed.outcome = parseRequestHead(bytes, limits, parsed.head, parsed.fields);
  parsed.fields.resize(parsed.outcome.status == ParseStatus::Done ? parsed.head.fieldCount : 0);
  return parsed;
}

// "DONE", "NEED_MORE", or the error's name.
inline std::string show(const ParseOutcome& outcome) {
  if (outcome.status == ParseStatus::Done) return "DONE";
  if (outcome.status == ParseStatus::NeedMore) return "NEED_MORE";
  return std::string(nameOf(outcome.error));
}

inline std::string verdict(std::string_view text, const ParserLimits& limits = {}) {
  return show(parse(bytesOf(text), limits).outcome);
}

inline std::string slice(std::string_view text, uint32_t offset, uint32_t length) {
  return std::string(text.substr(offset, length));
}

// Parses every prefix of `text` against a guard page. "" when each prefix gives NEED_MORE or the verdict of the whole
// text (and an accepted head is complete exactly at its own end); otherwise what went wrong.
inline std::string prefixViolation(std::string_view text, const ParserLimits& limits = {}) {
  const Parsed whole = parse(bytesOf(text), limits);
  const std::string expected = show(whole.outcome);
  GuardedCopy guarded(text.size());
  bool decided = false;
  for (size_t length = 0; length <= text.size(); length++) {
    const std::string got = show(parse(guarded.place(text.substr(0, length)), limits).outcome);
    const std::string at = " at prefix " + std::to_string(length) + ", whole " + expected;
    if (got != "NEED_MORE" && got != expected) return got + at;
    if (decided && got != expected) return "no longer decided" + at;
    decided = decided || got != "NEED_MORE";
    if (expected == "DONE" && decided != (length >= whole.head.headLength)) return got + at;
  }
  return "";
}

}  // namespace gammaloop::test
