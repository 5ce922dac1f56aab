// Completions: the sessions' way to JavaScript: writes completion records (ring/records.h). Records that must not be
// lost when the ring is full wait in order in an overflow list, and as long as one waits there is no room for requests
// and bodies. Owned by the engine. Thread: the reactor's.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/intrusive_list.h"
#include "http/http1_session.h"
#include "ring/record_ring.h"

namespace gammaloop {

class Completions final : public ExchangeSink {
 public:
  explicit Completions(RingMemory memory) : producer_(memory) {}

  // ExchangeSink.
  bool onRequest(const Exchange& exchange, const RequestHead& head, std::span<const HeaderField> fields,
                 std::span<const uint8_t> bytes, std::span<const uint8_t> completeBody) override;
  size_t bodyRoom() override;
  void onBody(const Exchange& exchange, std::span<const uint8_t> bytes) override;
  void onBodyEnd(const Exchange& exchange, std::span<const HeaderField> trailers,
                 std::span<const uint8_t> bytes) override;
  void onAbort(const Exchange& exchange, AbortReason reason, bool soft) override;
  void onWritable(const Exchange& exchange) override;
  void stall(Http1Session& session) override { stalled_.pushBack(session); }

  void serverClosed(uint32_t server);
  // Moves what waited into the ring, then lets stalled sessions go on, as far as there is room.
  void replenish();

 private:
  static constexpr uint32_t kMinBodyRoom = 1024;  // smaller pieces are not worth a record

  // A record in the ring, or, when it is full, in the overflow list.
  uint8_t* mustReserve(uint32_t opcode, uint32_t flags, uint32_t size, SlabKey key);
  void commit();

  RecordProducer producer_;
  std::deque<std::vector<uint8_t>> overflow_;
  bool inOverflow_ = false;
  IntrusiveList<Http1Session, StalledTag> stalled_;
};

}  // namespace gammaloop
