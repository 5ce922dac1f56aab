// The half of Completions that tells of wire sessions.
#include <algorithm>
#include <cstring>

#include "engine/completions.h"

namespace gammaloop {

using namespace records;  // NOLINT: this file is about nothing else

static_assert(static_cast<uint32_t>(WireIdle::KeepAlive) == kWireIdleKeepAlive);
static_assert(static_cast<uint32_t>(WireIdle::Inactivity) == kWireIdleInactivity);
static_assert(static_cast<uint32_t>(TransportCommand::Pause) == kWireTransportPause);
static_assert(static_cast<uint32_t>(TransportCommand::Resume) == kWireTransportResume);
static_assert(static_cast<uint32_t>(TransportCommand::End) == kWireTransportEnd);
static_assert(static_cast<uint32_t>(TransportCommand::Destroy) == kWireTransportDestroy);

namespace {
constexpr size_t kMaxErrorBytes = 64 * 1024;
constexpr size_t kMaxPieceBytes = 64 * 1024;

// Records of one word.
constexpr uint32_t kWordOffset = kHeaderBytes;
constexpr uint32_t kWordBytes = kHeaderBytes + kRecordAlign;
static_assert(kWireOpenServerOffset == kWordOffset && kWireOpenBytes == kWordBytes);
static_assert(kWireClosedErrnoOffset == kWordOffset && kWireClosedBytes == kWordBytes);
static_assert(kWireFlushedPositionOffset == kWordOffset && kWireFlushedBytes == kWordBytes);
static_assert(kWireIdleKindOffset == kWordOffset && kWireIdleBytes == kWordBytes);
static_assert(kWireTransportCommandOffset == kWordOffset && kWireTransportBytes == kWordBytes);
}  // namespace

void Completions::onWireOpen(SlabKey connection, uint32_t server) { putWord(kWireOpen, connection, server); }

void Completions::onWireConnected(SlabKey connection) { putBare(kWireConnected, 0, connection); }

bool Completions::onWireRequest(SlabKey connection, uint32_t server, const ArrivedRequest& request) {
  const RequestHead& head = request.head;
  const bool hasBody = !request.complete || !request.body.empty();
  const uint32_t flags = (hasBody ? kRequestHasBodyFlag : 0) | (request.body.empty() ? 0 : kRequestBodyCompleteFlag) |
                         (head.keepAlive ? kRequestKeepAliveFlag : 0) |
                         (head.expectContinue ? kRequestExpectContinueFlag : 0) |
                         (head.expectOther ? kRequestExpectOtherFlag : 0) | (head.upgrade ? kRequestUpgradeFlag : 0);
  return putRequest(kWireRequest, flags, connection, server, connection, request);
}

void Completions::onWireBody(SlabKey connection, std::span<const uint8_t> bytes) {
  putBytes(kWireBody, 0, connection, bytes);
}

void Completions::onWireBodyEnd(SlabKey connection, std::span<const HeaderField> trailers,
                                std::span<const uint8_t> bytes) {
  putTrailers(kWireBodyEnd, connection, trailers, bytes);
}

void Completions::onWireData(SlabKey connection, std::span<const uint8_t> bytes) {
  putPieces(kWireData, connection, bytes);
}

void Completions::onWireEnd(SlabKey connection, bool inMessage) {
  putBare(kWireEnd, inMessage ? kWireEndInMessageFlag : 0, connection);
}

void Completions::onWireError(SlabKey connection, uint32_t code, std::span<const uint8_t> bytes, size_t position) {
  // A record larger than the ring would wait in the overflow list for ever.
  const size_t taken = std::min<size_t>({bytes.size(), kMaxErrorBytes, capacity_ / 4});
  uint8_t* record = mustReserve(kWireError, 0, kWireErrorBytes + static_cast<uint32_t>(taken), connection);
  storeWord(record, kWireErrorCodeOffset, code);
  storeWord(record, kWireErrorLengthOffset, static_cast<uint32_t>(taken));
  storeWord(record, kWireErrorPositionOffset, static_cast<uint32_t>(std::min(position, taken)));
  if (taken != 0) std::memcpy(record + kWireErrorBytes, bytes.data(), taken);
  commit();
}

void Completions::onWireClosed(SlabKey connection, int error) {
  putWord(kWireClosed, connection, static_cast<uint32_t>(error));
}

void Completions::onWireFlushed(SlabKey connection, uint32_t position) { putWord(kWireFlushed, connection, position); }

void Completions::onWireIdle(SlabKey connection, WireIdle kind) {
  putWord(kWireIdle, connection, static_cast<uint32_t>(kind));
}

void Completions::onWireOutput(SlabKey connection, std::span<const uint8_t> bytes) {
  putPieces(kWireOutput, connection, bytes);
}

void Completions::onWireTransport(SlabKey connection, TransportCommand command) {
  putWord(kWireTransport, connection, static_cast<uint32_t>(command));
}

void Completions::putPieces(uint32_t opcode, SlabKey key, std::span<const uint8_t> bytes) {
  if (putPlace(opcode, 0, key, bytes)) return;
  const size_t most = std::min<size_t>(kMaxPieceBytes, capacity_ / 4);
  for (size_t at = 0; at < bytes.size(); at += most) {
    putBytes(opcode, 0, key, bytes.subspan(at, std::min(most, bytes.size() - at)));
  }
}

void Completions::putWord(uint32_t opcode, SlabKey key, uint32_t word) {
  storeWord(mustReserve(opcode, 0, kWordBytes, key), kWordOffset, word);
  commit();
}

}  // namespace gammaloop
