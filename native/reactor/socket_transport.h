// SocketTransport: a socket watched by the reactor's poller. Owns the descriptor. Thread: the reactor's.
#pragma once

#include "reactor/transport.h"

namespace gammaloop {

class SocketTransport final : public Transport {
 public:
  SocketTransport(Poller& poller, OwnedFd fd) : poller_(poller), fd_(std::move(fd)) {}

  Result<void> open(SlabKey key) override;
  int fd() const override { return fd_.get(); }
  IoOutcome receive(std::span<uint8_t> into) override { return gammaloop::receive(fd_.get(), into); }
  IoOutcome send(std::span<const IoSlice> slices) override { return sendSlices(fd_.get(), slices); }
  Result<void> shutdownWrite() override { return gammaloop::shutdownWrite(fd_.get()); }
  Result<void> watch(Interest interest) override;
  void park() override;
  int pendingError() const override { return socketError(fd_.get()); }
  bool lingers() const override { return true; }
  void close(TransportClose how) override;
  void acknowledge(uint32_t) override {}
  void onGone() override {}

 private:
  Poller& poller_;
  OwnedFd fd_;
  Token token_ = 0;
  bool parked_ = false;
};

}  // namespace gammaloop
