// Transport: what carries the bytes of a connection: a socket of our own (socket_transport.h), or a stream that
// JavaScript feeds and empties (http/fed_transport.h). A connection decides; its transport carries out, and does not
// call back. Owned by its connection. Thread: the reactor's.
#pragma once

#include <cstdint>
#include <span>

#include "reactor/slab.h"
#include "sys/poller.h"
#include "sys/sockets.h"

namespace gammaloop {

enum class TransportClose : uint8_t {
  AfterOutput,  // what was sent still arrives
  AtOnce,
  Reset,  // at once, and the peer sees a reset
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Once, before anything else; `key` is the connection's. Interest is Read from now on.
  virtual Result<void> open(SlabKey key) = 0;
  virtual int fd() const = 0;  // -1: no socket
  virtual IoOutcome receive(std::span<uint8_t> into) = 0;
  virtual IoOutcome send(std::span<const IoSlice> slices) = 0;
  // The end of our side, behind what was sent.
  virtual Result<void> shutdownWrite() = 0;
  virtual Result<void> watch(Interest interest) = 0;
  // A hang-up that nobody can act upon yet must not be reported without end: silence until the next watch().
  virtual void park() = 0;
  // The error that a hang-up stands for, 0 where it is none.
  virtual int pendingError() const = 0;
  // Whether reading on after our end keeps the peer from missing what was sent.
  virtual bool lingers() const = 0;
  virtual void close(TransportClose how) = 0;
  // `byteCount` of what send() took have reached the system. Nothing to a socket, where send() says as much.
  virtual void acknowledge(uint32_t byteCount) = 0;
  // It has closed by itself: a close() that follows has nothing to tell.
  virtual void onGone() = 0;
};

}  // namespace gammaloop
