// The half of Completions that tells of WebSockets.
#include <algorithm>
#include <cstring>

#include "engine/completions.h"

namespace gammaloop {

using namespace records;  // NOLINT: this file is about nothing else

namespace {
constexpr size_t kMaxPieceBytes = 64 * 1024;
}  // namespace

uint8_t* Completions::beginMessage(SlabKey connection, uint32_t size) {
  if (!overflow_.empty()) return nullptr;
  message_ = producer_.reserve(kWsMessage, 0, kBodyBytes + size);
  if (message_ == nullptr) return nullptr;
  storeWord(message_, kExchangeIndexOffset, connection.index);
  storeWord(message_, kExchangeGenerationOffset, connection.generation);
  storeWord(message_, kBodyLengthOffset, size);
  return message_ + kBodyBytes;
}

void Completions::commitMessage(uint32_t flags) {
  storeWord(message_, kOpcodeOffset, kWsMessage | flags << 16);
  producer_.commit();
}

// In records that the ring can take, however small it is.
void Completions::onWsPiece(SlabKey connection, uint32_t flags, std::span<const uint8_t> bytes) {
  const size_t most = std::min<size_t>(kMaxPieceBytes, capacity_ / 4);
  while (bytes.size() > most) {
    putBytes(kWsMessage, flags & ~(kWsLastFlag | kWsAsciiFlag), connection, bytes.first(most));
    flags &= ~(kWsFirstFlag | kWsAsciiFlag);
    bytes = bytes.subspan(most);
  }
  putBytes(kWsMessage, flags, connection, bytes);
}

void Completions::onWsPing(SlabKey connection, std::span<const uint8_t> payload) {
  putBytes(kWsPing, 0, connection, payload);
}

void Completions::onWsPong(SlabKey connection, std::span<const uint8_t> payload) {
  putBytes(kWsPong, 0, connection, payload);
}

void Completions::onWsPeerClose(SlabKey connection, uint16_t code, std::span<const uint8_t> reason) {
  const auto size = static_cast<uint32_t>(reason.size());
  uint8_t* record = mustReserve(kWsPeerClose, 0, kWsPeerCloseBytes + size, connection);
  storeWord(record, kWsPeerCloseCodeOffset, code);
  storeWord(record, kWsPeerCloseLengthOffset, size);
  if (size != 0) std::memcpy(record + kWsPeerCloseBytes, reason.data(), size);
  commit();
}

void Completions::onWsFailure(SlabKey connection, WsError error, uint32_t detail) {
  uint8_t* record = mustReserve(kWsFailure, 0, kWsFailureBytes, connection);
  storeWord(record, kWsFailureErrorOffset, static_cast<uint32_t>(error));
  storeWord(record, kWsFailureDetailOffset, detail);
  commit();
}

void Completions::onWsDrained(SlabKey connection) { putBare(kWsDrained, 0, connection); }

void Completions::onWsFlushed(SlabKey connection, uint32_t number) { putWord(kWsFlushed, connection, number); }

void Completions::onWsClosed(SlabKey connection, int error) {
  putWord(kWsClosed, connection, static_cast<uint32_t>(error));
}

void Completions::wsAttached(SlabKey connection) { putBare(kWsAttached, 0, connection); }

}  // namespace gammaloop
