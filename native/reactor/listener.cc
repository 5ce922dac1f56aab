#include "reactor/listener.h"

#include <cerrno>

#include "reactor/reactor.h"

namespace gammaloop {

namespace {
bool isOutOfDescriptors(int code) { return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM; }
}  // namespace

void Listener::onReady() {
  for (int accepted = 0; accepted < kMaxAcceptsPerTurn; accepted++) {
    Result<Accepted> next = acceptConnection(fd_.get());
    if (!next) {
      if (isOutOfDescriptors(next.error().code)) shed();
      return;  // EAGAIN: none is waiting. Anything else concerns the one connection that failed.
    }
    if (!owner_.admits()) continue;
    reactor_.adopt(std::move(next.value().fd), next.value().peer, owner_);
  }
}

void Listener::shed() {
  uint32_t shedCount = 0;
  if (reactor_.reserveFd().isOpen()) {
    reactor_.reserveFd().close();
    if (acceptConnection(fd_.get())) shedCount = 1;  // closed here, as the result goes
    if (Result<OwnedFd> reserve = openReserveFd()) reactor_.reserveFd() = std::move(reserve.value());
  }
  owner_.onShed(shedCount);
  if (!reactor_.poller().modify(fd_.get(), Interest::None, Reactor::listenerToken(key_))) return;
  reactor_.timers().schedule(*this, reactor_.nowMs() + kShedPauseMs);
}

void Listener::expire() {
  if (!reactor_.reserveFd().isOpen()) {
    if (Result<OwnedFd> reserve = openReserveFd()) reactor_.reserveFd() = std::move(reserve.value());
  }
  if (!reactor_.poller().modify(fd_.get(), Interest::Read, Reactor::listenerToken(key_))) {
    reactor_.timers().schedule(*this, reactor_.nowMs() + kShedPauseMs);
  }
}

}  // namespace gammaloop
