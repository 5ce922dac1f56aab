#include "http/fed_transport.h"

#include <algorithm>

namespace gammaloop {

Result<void> FedTransport::open(SlabKey key) {
  key_ = key;
  return {};
}

IoOutcome FedTransport::send(std::span<const IoSlice> slices) {
  size_t sent = 0;
  for (const IoSlice& slice : slices) {
    const size_t taken = std::min<size_t>(slice.size, kMaxUnsentBytes - unsent_);
    if (taken != 0) sink_.onWireOutput(key_, {static_cast<const uint8_t*>(slice.data), taken});
    unsent_ += static_cast<uint32_t>(taken);
    sent += taken;
    if (taken < slice.size) break;
  }
  if (sent == 0) return {IoOutcome::Kind::WouldBlock, 0, {}};
  return {IoOutcome::Kind::Ok, sent, {}};
}

void FedTransport::acknowledge(uint32_t byteCount) { unsent_ -= std::min(unsent_, byteCount); }

Result<void> FedTransport::shutdownWrite() {
  if (!ended_) sink_.onWireTransport(key_, TransportCommand::End);
  ended_ = true;
  return {};
}

Result<void> FedTransport::watch(Interest interest) {
  const bool reading = interest == Interest::Read || interest == Interest::ReadWrite;
  if (reading == reading_) return {};
  reading_ = reading;
  sink_.onWireTransport(key_, reading ? TransportCommand::Resume : TransportCommand::Pause);
  return {};
}

void FedTransport::close(TransportClose how) {
  if (gone_) return;
  if (how == TransportClose::AfterOutput) {
    (void)shutdownWrite().ok();  // a record, which cannot fail
  } else {
    sink_.onWireTransport(key_, TransportCommand::Destroy);
  }
}

}  // namespace gammaloop
