// Poller on epoll(7), level-triggered; woken through an eventfd. The epoll descriptor itself is pollable: it is backendFd().
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "sys/poller.h"
#include "sys/sockets.h"

namespace gammaloop {

namespace {

// No slab hands out this token.
constexpr Token kWakeToken = UINT64_MAX;

uint32_t filtersOf(Interest interest) {
  const auto bits = static_cast<uint8_t>(interest);
  return ((bits & 1) ? EPOLLIN | EPOLLRDHUP : 0u) | ((bits & 2) ? EPOLLOUT : 0u);
}

uint8_t readinessOf(uint32_t events) {
  uint8_t readiness = 0;
  // The end of the peer's stream is read as such.
  if (events & (EPOLLIN | EPOLLRDHUP)) readiness |= Readiness::kReadable;
  if (events & EPOLLOUT) readiness |= Readiness::kWritable;
  if (events & EPOLLERR) readiness |= Readiness::kError;
  if (events & EPOLLHUP) readiness |= Readiness::kHangup;
  return readiness;
}

class EpollPoller final : public Poller {
 public:
  EpollPoller(OwnedFd epoll, OwnedFd wakeFd) : epoll_(std::move(epoll)), wakeFd_(std::move(wakeFd)) {}

  const char* name() const override { return "epoll"; }
  int backendFd() const override { return epoll_.get(); }

  Result<void> add(int fd, Interest interest, Token token) override { return control(EPOLL_CTL_ADD, fd, interest, token); }
  Result<void> modify(int fd, Interest interest, Token token) override {
    return control(EPOLL_CTL_MOD, fd, interest, token);
  }
  Result<void> remove(int fd) override { return control(EPOLL_CTL_DEL, fd, Interest::None, 0); }

  Result<size_t> wait(std::span<ReadyEvent> events, int timeoutMs) override {
    const int room = static_cast<int>(std::min(events.size(), raw_.size()));
    const int ready = epoll_wait(epoll_.get(), raw_.data(), std::max(room, 1), timeoutMs);
    if (ready < 0) {
      if (errno == EINTR) return size_t{0};
      return SysError{"epoll_wait", errno};
    }
    size_t count = 0;
    for (int i = 0; i < ready; i++) {
      const epoll_event& event = raw_[static_cast<size_t>(i)];
      if (event.data.u64 == kWakeToken) {
        swallowWake();
      } else if (count < events.size()) {
        events[count++] = {event.data.u64, readinessOf(event.events)};
      }
    }
    return count;
  }

  void wake() noexcept override {
    const uint64_t one = 1;
    // EAGAIN: the counter is at its end, so a wake-up is pending anyway.
    while (write(wakeFd_.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
  }

  Result<void> start() { return control(EPOLL_CTL_ADD, wakeFd_.get(), Interest::Read, kWakeToken); }

 private:
  Result<void> control(int operation, int fd, Interest interest, Token token) {
    epoll_event event{};
    event.events = filtersOf(interest);
    event.data.u64 = token;
    if (epoll_ctl(epoll_.get(), operation, fd, &event) == 0) return {};
    return SysError{"epoll_ctl", errno};
  }

  void swallowWake() {
    uint64_t count;
    while (read(wakeFd_.get(), &count, sizeof count) < 0 && errno == EINTR) {
    }
  }

  OwnedFd epoll_;
  OwnedFd wakeFd_;
  std::array<epoll_event, 512> raw_{};
};

}  // namespace

Result<std::unique_ptr<Poller>> makeEpollPoller() {
  OwnedFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.isOpen()) return SysError{"epoll_create1", errno};
  OwnedFd wakeFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeFd.isOpen()) return SysError{"eventfd", errno};
  auto poller = std::make_unique<EpollPoller>(std::move(epoll), std::move(wakeFd));
  if (Result<void> started = poller->start(); !started) return started.error();
  return std::unique_ptr<Poller>(std::move(poller));
}

}  // namespace gammaloop
