// Completions: the sessions' way to JavaScript: writes completion records (ring/records.h). Records that must not be
// lost when the ring is full wait in order in an overflow list, and as long as one waits there is no room for requests
// and bodies. Owned by the engine. Thread: the reactor's.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/intrusive_list.h"
#include "http/http1_session.h"
#include "http/wire_sink.h"
#include "ring/lent_buffers.h"
#include "ring/record_ring.h"
#include "ws/ws_sink.h"

namespace gammaloop {

class Completions final : public SinkRoom, public ExchangeSink, public WireSink, public WsSink {
 public:
  Completions(RingMemory memory, LentBuffers& lent) : producer_(memory), lent_(lent), capacity_(memory.capacity) {}

  // SinkRoom.
  size_t bodyRoom() override;
  void stall(Stallable& session) override { stalled_.pushBack(session); }

  // ExchangeSink.
  bool onRequest(const Exchange& exchange, const ArrivedRequest& request) override;
  void onBody(const Exchange& exchange, std::span<const uint8_t> bytes) override;
  void onBodyEnd(const Exchange& exchange, std::span<const HeaderField> trailers,
                 std::span<const uint8_t> bytes) override;
  void onAbort(const Exchange& exchange, AbortReason reason, bool soft) override;
  void onWritable(const Exchange& exchange) override;

  // WireSink (completions_wire.cc).
  void onWireOpen(SlabKey connection, uint32_t server) override;
  void onWireConnected(SlabKey connection) override;
  bool onWireRequest(SlabKey connection, uint32_t server, const ArrivedRequest& request) override;
  void onWireBody(SlabKey connection, std::span<const uint8_t> bytes) override;
  void onWireBodyEnd(SlabKey connection, std::span<const HeaderField> trailers,
                     std::span<const uint8_t> bytes) override;
  void onWireData(SlabKey connection, std::span<const uint8_t> bytes) override;
  void onWireReadable(SlabKey connection) override { putBare(records::kWireReadable, 0, connection); }
  void onWireEnd(SlabKey connection, bool inMessage) override;
  void onWireError(SlabKey connection, uint32_t code, std::span<const uint8_t> bytes, size_t position) override;
  void onWireClosed(SlabKey connection, int error) override;
  void onWireFlushed(SlabKey connection, uint32_t position) override;
  void onWireIdle(SlabKey connection, WireIdle kind) override;
  void onWireOutput(SlabKey connection, std::span<const uint8_t> bytes) override;
  void onWireTransport(SlabKey connection, TransportCommand command) override;

  // WsSink (completions_ws.cc).
  uint8_t* beginMessage(SlabKey connection, uint32_t size) override;
  void commitMessage(uint32_t flags) override;
  void onWsPiece(SlabKey connection, uint32_t flags, std::span<const uint8_t> bytes) override;
  void onWsPing(SlabKey connection, std::span<const uint8_t> payload) override;
  void onWsPong(SlabKey connection, std::span<const uint8_t> payload) override;
  void onWsPeerClose(SlabKey connection, uint16_t code, std::span<const uint8_t> reason) override;
  void onWsTap(SlabKey connection, std::span<const uint8_t> bytes) override { onWireData(connection, bytes); }
  void onWsFailure(SlabKey connection, WsError error, uint32_t detail) override;
  void onWsDrained(SlabKey connection) override;
  void onWsFlushed(SlabKey connection, uint32_t number) override;
  void onWsClosed(SlabKey connection, int error) override;
  // The session of a wire connection has been replaced: everything of the old one has been told.
  void wsAttached(SlabKey connection);

  void serverClosed(uint32_t server);
  bool hasWaiting() const { return !overflow_.empty(); }
  // Moves what waited into the ring, then lets stalled sessions go on, as far as there is room.
  void replenish();

 private:
  static constexpr uint32_t kMinBodyRoom = 1024;  // smaller pieces are not worth a record

  bool putRequest(uint32_t opcode, uint32_t flags, SlabKey key, uint32_t server, SlabKey connection,
                  const ArrivedRequest& request);
  void putBytes(uint32_t opcode, uint32_t flags, SlabKey key, std::span<const uint8_t> bytes);
  // By place, where they stand in a buffer that was lent; false: they do not.
  bool putPlace(uint32_t opcode, uint32_t flags, SlabKey key, std::span<const uint8_t> bytes);
  // In records that the ring can take.
  void putPieces(uint32_t opcode, SlabKey key, std::span<const uint8_t> bytes);
  void putTrailers(uint32_t opcode, SlabKey key, std::span<const HeaderField> trailers, std::span<const uint8_t> bytes);
  void putWord(uint32_t opcode, SlabKey key, uint32_t word);
  void putBare(uint32_t opcode, uint32_t flags, SlabKey key);
  // A record in the ring, or, when it is full, in the overflow list.
  uint8_t* mustReserve(uint32_t opcode, uint32_t flags, uint32_t size, SlabKey key);
  void commit();

  RecordProducer producer_;
  LentBuffers& lent_;
  uint32_t capacity_;
  std::deque<std::vector<uint8_t>> overflow_;
  bool inOverflow_ = false;
  uint8_t* message_ = nullptr;  // begun
  IntrusiveList<Stallable, StalledTag> stalled_;
};

}  // namespace gammaloop
