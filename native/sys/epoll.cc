// EpollPoller: Linux. The kernel keeps the tokens (epoll_data), so nothing is looked up on the way of an event.
#include <sys/epoll.h>

#include <cerrno>
#include <vector>

#include "base/check.h"
#include "sys/poller.h"
#include "sys/sockets.h"
#include "sys/wake_signal.h"

namespace gammaloop {

namespace {

// The one token that no caller may use: it marks the waker.
constexpr Token kWakerToken = ~Token{0};

uint32_t toEpollEvents(Interest interest) {
  uint32_t events = 0;
  if (static_cast<uint8_t>(interest) & static_cast<uint8_t>(Interest::Read)) events |= EPOLLIN;
  if (static_cast<uint8_t>(interest) & static_cast<uint8_t>(Interest::Write)) events |= EPOLLOUT;
  return events;
}

uint8_t toReadiness(uint32_t events) {
  uint8_t readiness = 0;
  if (events & EPOLLIN) readiness |= Readiness::kReadable;
  if (events & EPOLLOUT) readiness |= Readiness::kWritable;
  if (events & EPOLLERR) readiness |= Readiness::kError;
  if (events & EPOLLHUP) readiness |= Readiness::kHangup;
  return readiness;
}

class EpollPoller final : public Poller {
 public:
  Result<void> open() {
    epoll_ = OwnedFd(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_.isOpen()) return SysError{"epoll_create1", errno};
    if (auto opened = waker_.open(); !opened) return opened;
    return control(EPOLL_CTL_ADD, waker_.fd(), Interest::Read, kWakerToken);
  }

  const char* name() const override { return "epoll"; }

  Result<void> add(int fd, Interest interest, Token token) override {
    GAMMALOOP_CHECK(token != kWakerToken);
    return control(EPOLL_CTL_ADD, fd, interest, token);
  }

  Result<void> modify(int fd, Interest interest, Token token) override {
    GAMMALOOP_CHECK(token != kWakerToken);
    return control(EPOLL_CTL_MOD, fd, interest, token);
  }

  Result<void> remove(int fd) override { return control(EPOLL_CTL_DEL, fd, Interest::None, 0); }

  Result<size_t> wait(std::span<ReadyEvent> events, int timeoutMs) override {
    GAMMALOOP_CHECK(!events.empty());
    // Kept from wait to wait: the caller's span has the same size every time.
    if (buffer_.size() < events.size()) buffer_.resize(events.size());
    const int count = ::epoll_wait(epoll_.get(), buffer_.data(), static_cast<int>(events.size()), timeoutMs);
    if (count < 0) {
      if (errno == EINTR) return size_t{0};
      return SysError{"epoll_wait", errno};
    }
    size_t filled = 0;
    for (int i = 0; i < count; i++) {
      const epoll_event& event = buffer_[static_cast<size_t>(i)];
      const Token token = event.data.u64;
      if (token == kWakerToken) {
        waker_.consume();
      } else {
        events[filled++] = ReadyEvent{token, toReadiness(event.events)};
      }
    }
    return filled;
  }

  void wake() noexcept override { waker_.raise(); }
  int backendFd() const override { return epoll_.get(); }
  // The kernel knows open files, not numbers: ENOENT for another file under the same one.
  bool isIntact(int fd, Interest interest, Token token) override { return modify(fd, interest, token).ok(); }

 private:
  Result<void> control(int operation, int fd, Interest interest, Token token) {
    epoll_event event = {};
    event.events = toEpollEvents(interest);
    event.data.u64 = token;
    if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) return SysError{"epoll_ctl", errno};
    return {};
  }

  OwnedFd epoll_;
  WakeSignal waker_;
  std::vector<epoll_event> buffer_;
};

}  // namespace

Result<std::unique_ptr<Poller>> makeEpollPoller() {
  auto poller = std::make_unique<EpollPoller>();
  if (auto opened = poller->open(); !opened) return opened.error();
  return std::unique_ptr<Poller>(std::move(poller));
}

}  // namespace gammaloop
