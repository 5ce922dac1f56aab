// The head of a WebSocket frame (RFC 6455 5.2): bytes in, result out. No I/O, no state: a head that is not complete is
// given again with more bytes. Masking is in mask.h, text in utf8.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gammaloop {

// Why a connection is failed. The order is that of WEBSOCKET_FAILURES in lib/backend/native-websocket.ts.
enum class WsError : uint8_t {
  None,
  ExpectedFin,
  ExpectedMask,
  InvalidOpcode,
  InvalidCloseCode,
  InvalidControlPayloadLength,
  UnexpectedRsv1,
  UnexpectedRsv23,
  InvalidPayloadLength,
  InvalidUtf8,
  InvalidCompressedData,
  UnsupportedMessageLength,
  TooManyBufferedParts,
  BufferedBytesExceeded,
  IdleTimeout,
  Count
};
// The code of the close frame that says so (RFC 6455 7.4.1).
uint16_t closeCodeOf(WsError error);

enum class Opcode : uint8_t { Continuation = 0, Text = 1, Binary = 2, Close = 8, Ping = 9, Pong = 10 };
inline bool isControl(Opcode opcode) { return static_cast<uint8_t>(opcode) >= 8; }

inline constexpr size_t kMaxFrameHeadBytes = 14;
inline constexpr size_t kMaxSentHeadBytes = 10;  // what a server sends has no mask
inline constexpr size_t kMaxControlBytes = 125;
inline constexpr uint16_t kNoCloseCode = 1005;  // stands for a close frame without a code; never sent

struct FrameHead {
  uint64_t length = 0;  // of the payload
  uint8_t mask[4] = {};
  Opcode opcode = Opcode::Continuation;
  bool fin = false;
  bool rsv1 = false;
  uint8_t headLength = 0;
};

struct HeadOutcome {
  enum class Status : uint8_t { Complete, NeedMore, Error };
  Status status;
  WsError error = WsError::None;
  uint8_t detail = 0;  // of the error: the opcode, or the length of a control frame, that was wrong
};

// The head of a frame from a client. Everything that a head alone can be refused for is refused, as early as its bytes
// are there; what depends on the frames before it (continuation, RSV1) is the session's. `head` is void unless
// Complete.
HeadOutcome parseFrameHead(std::span<const uint8_t> bytes, FrameHead& head);

// A head of a frame to a client. At most kMaxSentHeadBytes; returns how many.
size_t writeFrameHead(uint8_t* out, Opcode opcode, bool fin, bool rsv1, uint64_t length);

// The payload of a close frame. Complete: `code` is kNoCloseCode where it is empty; the reason is what follows the two
// bytes, and is not checked for UTF-8 here.
WsError parseClosePayload(std::span<const uint8_t> payload, uint16_t& code);
bool isValidCloseCode(uint16_t code);

}  // namespace gammaloop
