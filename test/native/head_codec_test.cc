// Head text: index, target, then names and values; exactly headTextLength bytes.
#include "http/head_codec.h"

#include "http1_support.h"
#include "test.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

// Writes into memory that ends at an untouchable page, behind a byte that must stay.
std::string headText(std::string_view source, uint32_t targetOffset, uint32_t targetLength,
                     std::span<const HeaderField> fields) {
  const size_t length = headTextLength(targetLength, fields);
  GuardedCopy guarded(length + 1);
  const auto place = guarded.place(std::string(length + 1, '#'));
  auto* const out = const_cast<uint8_t*>(place.data());
  writeHeadText(bytesOf(source), targetOffset, targetLength, fields, out + 1);
  EXPECT_EQ(out[0], '#');
  return std::string(reinterpret_cast<const char*>(out + 1), length);
}

}  // namespace

TEST("head text: index, target, fields") {
  const std::string text = "GET /a HTTP/1.1\r\nHost: b\r\nX-Y:  cd \r\nE:\r\n\r\n";
  const Parsed parsed = parse(bytesOf(text));
  const char host = static_cast<char>(HeaderId::Host);
  const std::string expected = std::string({host, 0, 4, 0, 0, 1, 0, 0, 3, 0, 0, 2, 0, 0, 1, 0, 0, 0}) + "/aHostbX-YcdE";
  EXPECT_EQ(headText(text, parsed.head.targetOffset, parsed.head.targetLength, parsed.fields), expected);
}

TEST("head text: no fields, no target") {
  EXPECT_EQ(headText("", 0, 0, {}), "");
  EXPECT_EQ(headText("x/", 1, 1, {}), "/");
}

TEST("head text: trailers have no target") {
  const std::string text = "A: b\r\n\r\n";
  std::vector<HeaderField> fields(1);
  uint32_t count = 0;
  uint32_t consumed = 0;
  const ParseOutcome outcome = parseTrailers(bytesOf(text), {}, fields, count, consumed);
  EXPECT_EQ(show(outcome), "DONE");
  EXPECT_EQ(headText(text, 0, 0, fields), std::string({0, 0, 1, 0, 0, 1}) + "Ab");
}

TEST("head text: bytes of 0x80 and above go through unchanged") {
  const std::string text = "GET / HTTP/1.0\r\nA: \xE4\xFF\r\n\r\n";
  const Parsed parsed = parse(bytesOf(text));
  EXPECT_EQ(headText(text, parsed.head.targetOffset, parsed.head.targetLength, parsed.fields),
            std::string({0, 0, 1, 0, 0, 2}) + "/A\xE4\xFF");
}

TEST("head text: lengths at the limits of the index") {
  const std::string source(0xFFFFFF, 'v');
  const std::vector<HeaderField> fields = {
      {.nameOffset = 0, .nameLength = 0xFFFF, .valueOffset = 0, .valueLength = 0xFFFFFF},
      {.nameOffset = 0, .nameLength = 0x0102, .valueOffset = 0, .valueLength = 0x030405}};
  const std::string text = headText(source, 0, 3, fields);
  EXPECT_EQ(text.size(), size_t{12} + 3 + 0xFFFF + 0xFFFFFF + 0x0102 + 0x030405);
  EXPECT_EQ(text.substr(0, 12), std::string("\0\xFF\xFF\xFF\xFF\xFF\0\1\2\3\4\5", 12));
}
