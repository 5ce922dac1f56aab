#include "reactor/socket_transport.h"

#include "reactor/reactor.h"

namespace gammaloop {

Result<void> SocketTransport::open(SlabKey key) {
  token_ = Reactor::connectionToken(key);
  return poller_.add(fd_.get(), Interest::Read, token_);
}

Result<void> SocketTransport::watch(Interest interest) {
  if (!parked_) return poller_.modify(fd_.get(), interest, token_);
  if (interest == Interest::None) return {};
  parked_ = false;
  return poller_.add(fd_.get(), interest, token_);
}

void SocketTransport::park() {
  if (parked_) return;
  parked_ = true;
  (void)poller_.remove(fd_.get()).ok();  // a descriptor that is not watched is what is asked for
}

void SocketTransport::close(TransportClose how) {
  // What cannot be told to a socket that is being thrown away is of no consequence: both results are looked at by
  // nobody on purpose.
  if (how == TransportClose::Reset) (void)setResetOnClose(fd_.get()).ok();
  if (!parked_) (void)poller_.remove(fd_.get()).ok();
  fd_.close();
}

}  // namespace gammaloop
