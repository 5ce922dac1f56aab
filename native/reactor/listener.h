// Listener: accepts until EAGAIN (bounded a turn), and survives running out of descriptors: at EMFILE it gives up a
// descriptor held in reserve, takes one waiting connection, closes it (the client sees an end instead of a hang), and
// pauses accepting for kShedPauseMs. Owned by its reactor's slab; owns its descriptor. Thread: the reactor's.
#pragma once

#include <cstdint>
#include <string>

#include "reactor/connection.h"
#include "reactor/slab.h"
#include "reactor/timer_wheel.h"
#include "sys/sockets.h"

namespace gammaloop {

// Who gets the connections.
class ListenerOwner {
 public:
  virtual ~ListenerOwner() = default;
  // False refuses: the connection is closed at once.
  virtual bool admits() = 0;
  virtual std::unique_ptr<Session> makeSession(Connection& connection) = 0;
  // `shedCount` connections were closed for want of descriptors.
  virtual void onShed(uint32_t shedCount) = 0;
};

class Listener : public TimerNode {
 public:
  static constexpr int kMaxAcceptsPerTurn = 256;
  static constexpr uint64_t kShedPauseMs = 100;

  Listener(SlabKey key, Reactor& reactor, ListenerOwner& owner, OwnedFd fd)
      : reactor_(reactor), owner_(owner), fd_(std::move(fd)), key_(key) {}

  SlabKey key() const { return key_; }
  int fd() const { return fd_.get(); }
  ListenerOwner& owner() { return owner_; }

  void onReady();
  // The pause after shedding is over.
  void expire();

 private:
  void shed();

  Reactor& reactor_;
  ListenerOwner& owner_;
  OwnedFd fd_;
  SlabKey key_;

  friend class Reactor;
};

}  // namespace gammaloop
