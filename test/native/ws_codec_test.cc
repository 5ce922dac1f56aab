// Frame heads, masks, UTF-8 and topics' data structures: pure functions, at every split and against guard pages.
#include <algorithm>
#include <cstring>
#include <random>

#include "guard_page.h"
#include "test.h"
#include "ws/frame_codec.h"
#include "ws/mask.h"
#include "ws/utf8.h"
#include "ws_harness.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

std::span<const uint8_t> bytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

WsError errorOf(std::string_view head) {
  FrameHead parsed;
  return parseFrameHead(bytesOf(head), parsed).error;
}

// RFC 3629, written anew from its table: the whole text at once.
bool isUtf8(std::span<const uint8_t> text) {
  size_t at = 0;
  const auto continues = [&](size_t i) { return i < text.size() && (text[i] & 0xc0) == 0x80; };
  while (at < text.size()) {
    const uint8_t lead = text[at];
    const size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    if (length == 0) return false;
    uint32_t code = length == 1 ? lead : lead & (0xff >> (length + 1));
    for (size_t i = 1; i < length; i++) {
      if (!continues(at + i)) return false;
      code = code << 6 | (text[at + i] & 0x3f);
    }
    static constexpr uint32_t kLowest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < kLowest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return false;
    at += length;
  }
  return true;
}

bool checkIn(std::span<const uint8_t> text, size_t pieceBytes) {
  Utf8Checker checker;
  for (size_t at = 0; at < text.size(); at += pieceBytes) {
    if (!checker.feed(text.subspan(at, std::min(pieceBytes, text.size() - at)))) return false;
  }
  return checker.isComplete();
}

}  // namespace

TEST("ws frame head: every length form, at every split") {
  for (const uint64_t size : {0, 1, 125, 126, 127, 65535, 65536, 100000}) {
    const std::string bytes = frame(2, std::string(size, 'x'));
    FrameHead head;
    size_t needed = 0;
    while (parseFrameHead(bytesOf(std::string_view(bytes).substr(0, needed)), head).status ==
           HeadOutcome::Status::NeedMore) {
      needed++;
    }
    EXPECT_EQ(needed, bytes.size() - size);
    EXPECT_EQ(head.headLength, needed);
    EXPECT_EQ(head.length, size);
    EXPECT(head.fin && !head.rsv1 && head.opcode == Opcode::Binary);
    uint8_t written[kMaxSentHeadBytes];
    const size_t writtenBytes = writeFrameHead(written, Opcode::Binary, true, false, size);
    EXPECT_EQ(writtenBytes + 4, needed);
    EXPECT_EQ(written[0], static_cast<uint8_t>(bytes[0]));
    EXPECT_EQ(written[1] | 0x80, static_cast<uint8_t>(bytes[1]));
  }
}

TEST("ws frame head: what is refused, as early as it can be") {
  for (int opcode = 0; opcode < 16; opcode++) {
    const bool known = opcode <= 2 || (opcode >= 8 && opcode <= 10);
    EXPECT(errorOf(std::string{static_cast<char>(0x80 | opcode)}) == (known ? WsError::None : WsError::InvalidOpcode));
    if (opcode >= 8 && known) {
      EXPECT(errorOf(std::string{static_cast<char>(opcode)}) == WsError::ExpectedFin);
      EXPECT(errorOf(std::string{static_cast<char>(0xc0 | opcode)}) == WsError::UnexpectedRsv1);
      EXPECT(errorOf(std::string{static_cast<char>(0x80 | opcode), '\xfe'}) == WsError::InvalidControlPayloadLength);
      EXPECT(errorOf(std::string{static_cast<char>(0x80 | opcode), '\xff'}) == WsError::InvalidControlPayloadLength);
    }
  }
  EXPECT(errorOf("\xa1") == WsError::UnexpectedRsv23);
  EXPECT(errorOf("\x91") == WsError::UnexpectedRsv23);
  EXPECT(errorOf(std::string_view("\x81\x05", 2)) == WsError::ExpectedMask);
  EXPECT(errorOf(std::string_view("\x82\xfe\x00\x7d", 4)) == WsError::InvalidPayloadLength);
  EXPECT(errorOf(std::string_view("\x82\xfe\x00\x7e", 4)) == WsError::None);
  EXPECT(errorOf(std::string_view("\x82\xff\0\0\0\0\0\0\xff\xff", 10)) == WsError::InvalidPayloadLength);
  EXPECT(errorOf(std::string_view("\x82\xff\0\0\0\0\0\1\0\0", 10)) == WsError::None);
  EXPECT(errorOf(std::string_view("\x82\xff\x80\0\0\0\0\1\0\0", 10)) == WsError::InvalidPayloadLength);
}

TEST("ws close payload: codes") {
  uint16_t code = 0;
  EXPECT(parseClosePayload({}, code) == WsError::None);
  EXPECT_EQ(code, kNoCloseCode);
  EXPECT(parseClosePayload(bytesOf("x"), code) == WsError::InvalidControlPayloadLength);
  for (int value = 0; value <= 0xffff; value++) {
    const bool assigned = value >= 1000 && value <= 1014 && value != 1004 && value != 1005 && value != 1006;
    const bool valid = assigned || (value >= 3000 && value <= 4999);
    if ((parseClosePayload(bytesOf(closePayload(value)), code) == WsError::None) != valid) {
      fail(__FILE__, __LINE__, "close code " + std::to_string(value));
      return;
    }
  }
}

TEST("ws mask: every length and phase, in place too, within the bytes given") {
  const uint8_t mask[4] = {0x01, 0x82, 0xff, 0x00};
  std::mt19937 random(7);
  GuardedCopy guardedFrom(128);
  GuardedCopy guardedTo(128);
  for (size_t size = 0; size <= 100; size++) {
    for (size_t phase = 0; phase < 4; phase++) {
      std::string text(size, '\0');
      for (char& byte : text) byte = static_cast<char>(random());
      const std::span<const uint8_t> from = guardedFrom.place(text);
      auto* to = const_cast<uint8_t*>(guardedTo.place(text).data());
      const bool ascii = copyUnmasked(to, from.data(), size, mask, phase);
      bool expectAscii = true;
      for (size_t i = 0; i < size; i++) {
        const auto expected = static_cast<uint8_t>(from[i] ^ mask[(phase + i) % 4]);
        EXPECT_EQ(to[i], expected);
        expectAscii = expectAscii && expected < 0x80;
      }
      EXPECT_EQ(ascii, expectAscii);
      copyUnmasked(to, to, size, mask, phase);
      EXPECT(size == 0 || std::memcmp(from.data(), to, size) == 0);
    }
  }
}

TEST("ws utf8: as RFC 3629 has it, in pieces of every size") {
  const std::vector<std::string> texts = {
      "",
      "a",
      "h\xc3\xa9llo",
      "\xe2\x82\xac",
      "\xf0\x9f\x8e\x89",
      std::string(40, 'x') + "\xc3\xa9" + std::string(40, 'y'),
      "\xc0\xaf",
      "\xc1\xbf",
      "\xe0\x80\xaf",
      "\xed\xa0\x80",
      "\xed\x9f\xbf",
      "\xee\x80\x80",
      "\xf0\x80\x80\xaf",
      "\xf4\x8f\xbf\xbf",
      "\xf4\x90\x80\x80",
      "\xf5\x80\x80\x80",
      "\xff",
      "\x80",
      "\xc3",
      "\xe2\x82",
      "\xf0\x9f\x8e",
      std::string(33, 'x') + "\x80",
      std::string(31, 'x') + "\xf0\x9f\x8e\x89" + std::string(31, 'x') + "\xed\xb0\x80"};
  for (const std::string& text : texts) {
    const bool valid = isUtf8(bytesOf(text));
    for (size_t pieceBytes = 1; pieceBytes <= text.size() + 1; pieceBytes++) {
      EXPECT_EQ(checkIn(bytesOf(text), pieceBytes), valid);
    }
  }
  // Every sequence of up to three bytes, and samples of four.
  for (uint32_t value = 0; value <= 0xffffff; value += value < 0x10000 ? 1 : 97) {
    const uint8_t bytes[] = {static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 8),
                             static_cast<uint8_t>(value)};
    if (checkIn(bytes, 2) != isUtf8(bytes)) {
      fail(__FILE__, __LINE__, "bytes " + std::to_string(value));
      return;
    }
  }
  for (uint32_t value = 0xee000000; value >= 0xee000000; value += 7919) {
    const uint8_t bytes[] = {static_cast<uint8_t>(value >> 24), static_cast<uint8_t>(value >> 16),
                             static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
    if (checkIn(bytes, 3) != isUtf8(bytes)) {
      fail(__FILE__, __LINE__, "bytes " + std::to_string(value));
      return;
    }
  }
}
