#include "engine/completions.h"

#include <algorithm>
#include <cstring>

#include "http/head_codec.h"

namespace gammaloop {

using namespace records;  // NOLINT: this file is about nothing else

namespace {
void storeKey(uint8_t* record, SlabKey key) {
  storeWord(record, kExchangeIndexOffset, key.index);
  storeWord(record, kExchangeGenerationOffset, key.generation);
}
}  // namespace

bool Completions::onRequest(const Exchange& exchange, const ArrivedRequest& request) {
  const bool hasBody = !request.complete || !request.body.empty();
  const uint32_t flags = (hasBody ? kRequestHasBodyFlag : 0) | (request.body.empty() ? 0 : kRequestBodyCompleteFlag) |
                         (exchange.keepAlive ? kRequestKeepAliveFlag : 0) |
                         (exchange.continueAwaited ? kRequestExpectContinueFlag : 0) |
                         (request.head.upgrade ? kRequestUpgradeFlag : 0);
  return putRequest(kRequest, flags, exchange.key, exchange.session.server().index, exchange.session.connection().key(),
                    request);
}

bool Completions::putRequest(uint32_t opcode, uint32_t flags, SlabKey key, uint32_t server, SlabKey connection,
                             const ArrivedRequest& request) {
  if (!overflow_.empty()) return false;
  const RequestHead& head = request.head;
  const auto textBytes = static_cast<uint32_t>(headTextLength(head.targetLength, request.fields));
  const auto bodyBytes = static_cast<uint32_t>(request.body.size());
  uint8_t* record = producer_.reserve(opcode, flags, kRequestBytes + textBytes + bodyBytes);
  if (record == nullptr) return false;
  storeKey(record, key);
  storeWord(record, kRequestServerOffset, server);
  storeWord(record, kRequestMethodOffset, static_cast<uint32_t>(head.method));
  storeWord(record, kRequestVersionMinorOffset, head.versionMinor);
  storeWord(record, kRequestHeaderCountOffset, head.fieldCount);
  storeWord(record, kRequestTargetLengthOffset, head.targetLength);
  storeWord(record, kRequestTextLengthOffset, textBytes);
  storeWord(record, kRequestBodyLengthOffset, bodyBytes);
  storeWord(record, kRequestConnectionIndexOffset, connection.index);
  storeWord(record, kRequestConnectionGenerationOffset, connection.generation);
  writeHeadText(request.bytes, head.targetOffset, head.targetLength, request.fields, record + kRequestBytes);
  if (bodyBytes != 0) std::memcpy(record + kRequestBytes + textBytes, request.body.data(), bodyBytes);
  producer_.commit();
  return true;
}

size_t Completions::bodyRoom() {
  if (!overflow_.empty()) return 0;
  const uint32_t room = producer_.room();
  return room < kBodyBytes + kMinBodyRoom ? 0 : room - kBodyBytes;
}

void Completions::onBody(const Exchange& exchange, std::span<const uint8_t> bytes) {
  putBytes(kBody, 0, exchange.key, bytes);
}

void Completions::onBodyEnd(const Exchange& exchange, std::span<const HeaderField> trailers,
                            std::span<const uint8_t> bytes) {
  putTrailers(kBodyEnd, exchange.key, trailers, bytes);
}

void Completions::onAbort(const Exchange& exchange, AbortReason reason, bool soft) {
  uint8_t* record = mustReserve(kAbort, soft ? kAbortSoftFlag : 0, kAbortBytes, exchange.key);
  storeWord(record, kAbortReasonOffset, static_cast<uint32_t>(reason));
  commit();
}

void Completions::onWritable(const Exchange& exchange) { putBare(kWritable, 0, exchange.key); }

void Completions::serverClosed(uint32_t server) { putBare(kServerClosed, 0, {server, 0}); }

void Completions::replenish() {
  while (!overflow_.empty()) {
    const std::vector<uint8_t>& waiting = overflow_.front();
    const uint32_t word = loadWord(waiting.data(), kOpcodeOffset);
    const auto size = static_cast<uint32_t>(waiting.size());
    uint8_t* record = producer_.reserve(word & 0xffff, word >> 16, size);
    if (record == nullptr) return;
    std::memcpy(record + kExchangeIndexOffset, waiting.data() + kExchangeIndexOffset, size - kExchangeIndexOffset);
    producer_.commit();
    overflow_.pop_front();
  }
  IntrusiveList<Stallable, StalledTag> stalled;
  stalled.takeAll(stalled_);
  while (Stallable* session = stalled.popFront()) session->resume();
}

// Layouts that several records share.

void Completions::putBytes(uint32_t opcode, uint32_t flags, SlabKey key, std::span<const uint8_t> bytes) {
  if (putPlace(opcode, flags, key, bytes)) return;
  const auto size = static_cast<uint32_t>(bytes.size());
  uint8_t* record = mustReserve(opcode, flags, kBodyBytes + size, key);
  storeWord(record, kBodyLengthOffset, size);
  if (size != 0) std::memcpy(record + kBodyBytes, bytes.data(), size);
  commit();
}

bool Completions::putPlace(uint32_t opcode, uint32_t flags, SlabKey key, std::span<const uint8_t> bytes) {
  const size_t enough = opcode == kWireData ? LentBuffers::kMinDataBytes : LentBuffers::kMinPieceBytes;
  const std::optional<LentBuffers::Piece> piece = lent_.take(bytes, enough);
  if (!piece) return false;
  flags |= kBodyLentFlag | (piece->isLast ? kBodyLentLastFlag : 0);
  uint8_t* record = mustReserve(opcode, flags, kBodyLentBytes, key);
  storeWord(record, kBodyLengthOffset, static_cast<uint32_t>(bytes.size()));
  storeWord(record, kBodyLentSlotOffset, piece->slot);
  storeWord(record, kBodyLentStartOffset, piece->start);
  commit();
  return true;
}

void Completions::putTrailers(uint32_t opcode, SlabKey key, std::span<const HeaderField> trailers,
                              std::span<const uint8_t> bytes) {
  const auto textBytes = static_cast<uint32_t>(headTextLength(0, trailers));
  uint8_t* record = mustReserve(opcode, 0, kBodyEndBytes + textBytes, key);
  storeWord(record, kBodyEndHeaderCountOffset, static_cast<uint32_t>(trailers.size()));
  storeWord(record, kBodyEndTextLengthOffset, textBytes);
  writeHeadText(bytes, 0, 0, trailers, record + kBodyEndBytes);
  commit();
}

void Completions::putBare(uint32_t opcode, uint32_t flags, SlabKey key) {
  mustReserve(opcode, flags, kHeaderBytes, key);
  commit();
}

uint8_t* Completions::mustReserve(uint32_t opcode, uint32_t flags, uint32_t size, SlabKey key) {
  uint8_t* record = overflow_.empty() ? producer_.reserve(opcode, flags, size) : nullptr;
  inOverflow_ = record == nullptr;
  if (inOverflow_) {
    record = overflow_.emplace_back(size).data();
    storeWord(record, kOpcodeOffset, opcode | flags << 16);
  }
  storeKey(record, key);
  return record;
}

void Completions::commit() {
  if (!inOverflow_) producer_.commit();
}

}  // namespace gammaloop
