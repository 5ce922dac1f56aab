// FedTransport: a connection without a socket: JavaScript feeds what its own transport (TLS, any Duplex) has read, and
// is handed what is to be sent, with a bound on what the transport has not acknowledged. Owned by its connection.
// Thread: the reactor's.
#pragma once

#include "http/wire_sink.h"
#include "reactor/transport.h"

namespace gammaloop {

class FedTransport final : public Transport {
 public:
  static constexpr uint32_t kMaxUnsentBytes = 256 * 1024;

  explicit FedTransport(WireSink& sink) : sink_(sink) {}

  Result<void> open(SlabKey key) override;
  int fd() const override { return -1; }
  IoOutcome receive(std::span<uint8_t>) override { return {IoOutcome::Kind::WouldBlock, 0, {}}; }
  IoOutcome send(std::span<const IoSlice> slices) override;
  Result<void> shutdownWrite() override;
  Result<void> watch(Interest interest) override;
  void park() override {}
  int pendingError() const override { return 0; }
  bool lingers() const override { return false; }  // its own transport's matter
  void close(TransportClose how) override;
  void acknowledge(uint32_t byteCount) override;
  // It has closed by itself: no command is of use any more.
  void onGone() override { gone_ = true; }

 private:
  WireSink& sink_;
  SlabKey key_;
  uint32_t unsent_ = 0;  // handed over, not acknowledged
  bool reading_ = true;
  bool ended_ = false;
  bool gone_ = false;
};

}  // namespace gammaloop
