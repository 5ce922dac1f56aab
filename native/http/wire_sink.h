// WireSink: the way to an application that frames its own responses (ring/records.h, kWire...). Everything is keyed by
// the connection. All but onRequest always succeeds; bodies and data are bounded by SinkRoom, output by FedTransport.
// Thread: the reactor's.
#pragma once

#include <cstdint>
#include <span>

#include "http/http_server.h"

namespace gammaloop {

enum class WireIdle : uint32_t { KeepAlive = 1, Inactivity = 2 };                        // records::kWireIdle...
enum class TransportCommand : uint32_t { Pause = 1, Resume = 2, End = 3, Destroy = 4 };  // records::kWireTransport...

class WireSink {
 public:
  virtual ~WireSink() = default;
  virtual void onWireOpen(SlabKey connection, uint32_t server) = 0;
  virtual void onWireConnected(SlabKey connection) = 0;
  // False: no room; see SinkRoom.
  virtual bool onWireRequest(SlabKey connection, uint32_t server, const ArrivedRequest& request) = 0;
  virtual void onWireBody(SlabKey connection, std::span<const uint8_t> bytes) = 0;
  virtual void onWireBodyEnd(SlabKey connection, std::span<const HeaderField> trailers,
                             std::span<const uint8_t> bytes) = 0;
  virtual void onWireData(SlabKey connection, std::span<const uint8_t> bytes) = 0;
  virtual void onWireReadable(SlabKey connection) = 0;
  virtual void onWireEnd(SlabKey connection, bool inMessage) = 0;
  // `code` as in the record. Only the first bytes are handed over, where there are many. What still comes after refused
  // bytes is told with the same code, once a read.
  virtual void onWireError(SlabKey connection, uint32_t code, std::span<const uint8_t> bytes, size_t position) = 0;
  virtual void onWireClosed(SlabKey connection, int error) = 0;
  virtual void onWireFlushed(SlabKey connection, uint32_t position) = 0;
  virtual void onWireIdle(SlabKey connection, WireIdle kind) = 0;
  virtual void onWireOutput(SlabKey connection, std::span<const uint8_t> bytes) = 0;
  virtual void onWireTransport(SlabKey connection, TransportCommand command) = 0;
};

}  // namespace gammaloop
