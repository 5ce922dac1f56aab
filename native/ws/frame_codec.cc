#include "ws/frame_codec.h"

#include <cstring>

namespace gammaloop {

namespace {
constexpr uint8_t kFinBit = 0x80;
constexpr uint8_t kRsv1Bit = 0x40;
constexpr uint8_t kRsv23Bits = 0x30;
constexpr uint8_t kMaskBit = 0x80;
constexpr uint8_t kLength16 = 126;
constexpr uint8_t kLength64 = 127;

HeadOutcome refused(WsError error, uint8_t detail = 0) { return {HeadOutcome::Status::Error, error, detail}; }

uint64_t readBigEndian(const uint8_t* bytes, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; i++) value = value << 8 | bytes[i];
  return value;
}
}  // namespace

uint16_t closeCodeOf(WsError error) {
  switch (error) {
    case WsError::InvalidUtf8:
    case WsError::InvalidCompressedData:
      return 1007;
    case WsError::UnsupportedMessageLength:
      return 1009;
    case WsError::TooManyBufferedParts:
      return 1008;
    case WsError::BufferedBytesExceeded:
      return 1013;
    case WsError::IdleTimeout:
      return 1001;
    default:
      return 1002;
  }
}

HeadOutcome parseFrameHead(std::span<const uint8_t> bytes, FrameHead& head) {
  if (bytes.empty()) return {HeadOutcome::Status::NeedMore};
  const uint8_t first = bytes[0];
  if (first & kRsv23Bits) return refused(WsError::UnexpectedRsv23);
  const uint8_t opcode = first & 0x0f;
  if ((opcode > 2 && opcode < 8) || opcode > 10) return refused(WsError::InvalidOpcode, opcode);
  const bool control = opcode >= 8;
  if (control && !(first & kFinBit)) return refused(WsError::ExpectedFin);
  if (control && (first & kRsv1Bit)) return refused(WsError::UnexpectedRsv1);
  if (bytes.size() < 2) return {HeadOutcome::Status::NeedMore};
  const uint8_t second = bytes[1];
  if (!(second & kMaskBit)) return refused(WsError::ExpectedMask);
  const uint8_t shortLength = second & 0x7f;
  if (control && shortLength > kMaxControlBytes) return refused(WsError::InvalidControlPayloadLength, shortLength);
  const size_t lengthBytes = shortLength == kLength16 ? 2 : shortLength == kLength64 ? 8 : 0;
  if (bytes.size() < 2 + lengthBytes) return {HeadOutcome::Status::NeedMore};
  head.length = lengthBytes == 0 ? shortLength : readBigEndian(bytes.data() + 2, lengthBytes);
  const bool minimal = lengthBytes == 0 || (lengthBytes == 2 ? head.length > 125 : head.length > 0xffff);
  if (!minimal || head.length >> 63 != 0) return refused(WsError::InvalidPayloadLength);
  const size_t headLength = 2 + lengthBytes + sizeof head.mask;
  if (bytes.size() < headLength) return {HeadOutcome::Status::NeedMore};
  std::memcpy(head.mask, bytes.data() + 2 + lengthBytes, sizeof head.mask);
  head.opcode = static_cast<Opcode>(opcode);
  head.fin = first & kFinBit;
  head.rsv1 = first & kRsv1Bit;
  head.headLength = static_cast<uint8_t>(headLength);
  return {HeadOutcome::Status::Complete};
}

size_t writeFrameHead(uint8_t* out, Opcode opcode, bool fin, bool rsv1, uint64_t length) {
  out[0] = static_cast<uint8_t>((fin ? kFinBit : 0) | (rsv1 ? kRsv1Bit : 0) | static_cast<uint8_t>(opcode));
  if (length < kLength16) {
    out[1] = static_cast<uint8_t>(length);
    return 2;
  }
  const size_t lengthBytes = length <= 0xffff ? 2 : 8;
  out[1] = lengthBytes == 2 ? kLength16 : kLength64;
  for (size_t i = 0; i < lengthBytes; i++) out[2 + i] = static_cast<uint8_t>(length >> (8 * (lengthBytes - 1 - i)));
  return 2 + lengthBytes;
}

WsError parseClosePayload(std::span<const uint8_t> payload, uint16_t& code) {
  code = kNoCloseCode;
  if (payload.empty()) return WsError::None;
  if (payload.size() == 1) return WsError::InvalidControlPayloadLength;
  code = static_cast<uint16_t>(readBigEndian(payload.data(), 2));
  return isValidCloseCode(code) ? WsError::None : WsError::InvalidCloseCode;
}

bool isValidCloseCode(uint16_t code) {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

}  // namespace gammaloop
