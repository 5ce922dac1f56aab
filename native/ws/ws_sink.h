// WsSink: the sessions' way to the application (ring/records.h, kWs...). Keyed by the connection. All but beginMessage
// always succeeds; messages and control frames are bounded by SinkRoom. Thread: the reactor's.
#pragma once

#include <cstdint>
#include <span>

#include "reactor/slab.h"
#include "ws/frame_codec.h"

namespace gammaloop {

class WsSink {
 public:
  virtual ~WsSink() = default;
  // A record for a whole message of `size` bytes: fill it in, then commitMessage with records::kWs...Flag, before
  // anything else is told. Not committed, it is nothing. Null: no room.
  virtual uint8_t* beginMessage(SlabKey connection, uint32_t size) = 0;
  virtual void commitMessage(uint32_t flags) = 0;
  // A piece of a message.
  virtual void onWsPiece(SlabKey connection, uint32_t flags, std::span<const uint8_t> bytes) = 0;
  virtual void onWsPing(SlabKey connection, std::span<const uint8_t> payload) = 0;
  virtual void onWsPong(SlabKey connection, std::span<const uint8_t> payload) = 0;
  virtual void onWsPeerClose(SlabKey connection, uint16_t code, std::span<const uint8_t> reason) = 0;
  // `detail`: the opcode, length or close code that was wrong, or 0.
  virtual void onWsFailure(SlabKey connection, WsError error, uint32_t detail) = 0;
  virtual void onWsDrained(SlabKey connection) = 0;
  // What was read, before it is looked at, of a session that is tapped.
  virtual void onWsTap(SlabKey connection, std::span<const uint8_t> bytes) = 0;
  // Everything up to the notification with this number has been handed to the system.
  virtual void onWsFlushed(SlabKey connection, uint32_t number) = 0;
  // The last record of its key. `error`: errno, or 0.
  virtual void onWsClosed(SlabKey connection, int error) = 0;
};

}  // namespace gammaloop
