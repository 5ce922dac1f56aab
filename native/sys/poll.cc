// PollPoller: poll(2), which every Unix has. wait() costs the number of watched descriptors; everything else is O(1).
#include <poll.h>

#include <cerrno>
#include <vector>

#include "base/check.h"
#include "sys/pollable.h"
#include "sys/poller.h"
#include "sys/wake_signal.h"

namespace gammaloop {

namespace {

constexpr size_t kNoSlot = ~size_t{0};
constexpr size_t kWakerSlot = 0;

short toPollEvents(Interest interest) {
  short events = 0;
  if (static_cast<uint8_t>(interest) & static_cast<uint8_t>(Interest::Read)) events |= POLLIN;
  if (static_cast<uint8_t>(interest) & static_cast<uint8_t>(Interest::Write)) events |= POLLOUT;
  return events;
}

uint8_t toReadiness(short events) {
  uint8_t readiness = 0;
  if (events & POLLIN) readiness |= Readiness::kReadable;
  if (events & POLLOUT) readiness |= Readiness::kWritable;
  // POLLNVAL: closed while watched. The owner learns of it by its next read or write.
  if (events & (POLLERR | POLLNVAL)) readiness |= Readiness::kError;
  if (events & POLLHUP) readiness |= Readiness::kHangup;
  return readiness;
}

class PollPoller final : public Poller {
 public:
  Result<void> open() {
    if (auto opened = waker_.open(); !opened) return opened;
    watched_.push_back(pollfd{waker_.fd(), POLLIN, 0});
    tokens_.push_back(0);
    return {};
  }

  const char* name() const override { return "poll"; }

  Result<void> add(int fd, Interest interest, Token token) override {
    if (slotOf(fd) != kNoSlot) return SysError{"poll", EEXIST};
    if (auto pollable = checkPollable(fd); !pollable) return pollable;
    const size_t index = static_cast<size_t>(fd);
    if (slotByFd_.size() <= index) slotByFd_.resize(index + 1, kNoSlot);
    slotByFd_[index] = watched_.size();
    watched_.push_back(pollfd{fd, toPollEvents(interest), 0});
    tokens_.push_back(token);
    return {};
  }

  Result<void> modify(int fd, Interest interest, Token token) override {
    const size_t slot = slotOf(fd);
    if (slot == kNoSlot) return SysError{"poll", ENOENT};
    watched_[slot].events = toPollEvents(interest);
    tokens_[slot] = token;
    return {};
  }

  Result<void> remove(int fd) override {
    const size_t slot = slotOf(fd);
    if (slot == kNoSlot) return SysError{"poll", ENOENT};
    // The last one moves into the gap, so that the array handed to poll stays dense.
    watched_[slot] = watched_.back();
    tokens_[slot] = tokens_.back();
    slotByFd_[static_cast<size_t>(watched_[slot].fd)] = slot;
    slotByFd_[static_cast<size_t>(fd)] = kNoSlot;
    watched_.pop_back();
    tokens_.pop_back();
    return {};
  }

  Result<size_t> wait(std::span<ReadyEvent> events, int timeoutMs) override {
    GAMMALOOP_CHECK(!events.empty());
    int remaining = ::poll(watched_.data(), static_cast<nfds_t>(watched_.size()), timeoutMs);
    if (remaining < 0) {
      if (errno == EINTR) return size_t{0};
      return SysError{"poll", errno};
    }
    if (watched_[kWakerSlot].revents != 0) {
      waker_.consume();
      remaining--;
    }
    return collect(events, static_cast<size_t>(remaining));
  }

  void wake() noexcept override { waker_.raise(); }

 private:
  // Starts where the last one stopped: with a span smaller than the ready set, every descriptor gets its turn.
  Result<size_t> collect(std::span<ReadyEvent> events, size_t readyCount) {
    const size_t total = watched_.size() - 1;
    size_t filled = 0;
    for (size_t step = 0; step < total && filled < events.size() && filled < readyCount; step++) {
      if (cursor_ > total || cursor_ == kWakerSlot) cursor_ = 1;
      const size_t slot = cursor_++;
      if (watched_[slot].revents != 0)
        events[filled++] = ReadyEvent{tokens_[slot], toReadiness(watched_[slot].revents)};
    }
    return filled;
  }

  size_t slotOf(int fd) const {
    const size_t index = static_cast<size_t>(fd);
    return fd >= 0 && index < slotByFd_.size() ? slotByFd_[index] : kNoSlot;
  }

  WakeSignal waker_;
  std::vector<pollfd> watched_;   // the waker first
  std::vector<Token> tokens_;     // beside watched_
  std::vector<size_t> slotByFd_;  // descriptor to place in watched_
  size_t cursor_ = 1;
};

}  // namespace

Result<std::unique_ptr<Poller>> makePollPoller() {
  auto poller = std::make_unique<PollPoller>();
  if (auto opened = poller->open(); !opened) return opened.error();
  return std::unique_ptr<Poller>(std::move(poller));
}

}  // namespace gammaloop
