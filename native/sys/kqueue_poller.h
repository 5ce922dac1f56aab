// KqueuePoller: the Poller over kqueue, on a `System` (kqueue_filters.h) that gives it the struct, the constants and
// the two system calls:
//
//   int open()                                                       a close-on-exec kqueue, or -1 and errno
//   int call(queue, changes, nchanges, events, nevents, timeout)     kevent(2); timeout is a const timespec*
//
// Owns: the kqueue; a table of what is watched, by descriptor. Thread: as in poller.h.
#pragma once

#include <cerrno>
#include <ctime>
#include <utility>
#include <vector>

#include "base/check.h"
#include "sys/kqueue_filters.h"
#include "sys/pollable.h"
#include "sys/sockets.h"

namespace gammaloop::kqueue {

template <typename System>
class KqueuePoller final : public Poller {
 public:
  using Event = typename System::Event;

  explicit KqueuePoller(System system = {}) : system_(std::move(system)) {}

  Result<void> open() {
    queue_ = OwnedFd(system_.open());
    if (!queue_.isOpen()) return SysError{"kqueue", errno};
    const Event waker = System::makeEvent(kWakerIdent, System::kFilterUser, System::kAdd | System::kClear, 0);
    if (call(&waker, 1, nullptr, 0, nullptr) < 0) return SysError{"kevent", errno};
    return {};
  }

  const char* name() const override { return "kqueue"; }

  Result<void> add(int fd, Interest interest, Token token) override {
    if (find(fd) != nullptr) return SysError{"kevent", EEXIST};
    if (auto pollable = checkPollable(fd); !pollable) return pollable;
    if (auto changed = change(fd, Interest::None, interest); !changed) return changed;
    const size_t index = static_cast<size_t>(fd);
    if (watches_.size() <= index) watches_.resize(index + 1);
    watches_[index] = Watch{token, interest, true, 0, 0};
    return {};
  }

  Result<void> modify(int fd, Interest interest, Token token) override {
    Watch* watch = find(fd);
    if (watch == nullptr) return SysError{"kevent", ENOENT};
    if (auto changed = change(fd, watch->interest, interest); !changed) return changed;
    watch->interest = interest;
    watch->token = token;
    return {};
  }

  Result<void> remove(int fd) override {
    Watch* watch = find(fd);
    if (watch == nullptr) return SysError{"kevent", ENOENT};
    // Forgotten in any case: when the descriptor was closed first, the kernel has dropped its filters already.
    watch->isWatched = false;
    return change(fd, watch->interest, Interest::None);
  }

  Result<size_t> wait(std::span<ReadyEvent> events, int timeoutMs) override {
    GAMMALOOP_CHECK(!events.empty());
    if (buffer_.size() < events.size()) buffer_.resize(events.size());
    timespec limit = {};
    limit.tv_sec = timeoutMs / 1000;
    limit.tv_nsec = static_cast<long>(timeoutMs % 1000) * 1'000'000;
    // No more than the span holds are asked for: merging only makes them fewer, so none has to be thrown away.
    const int count = system_.call(queue_.get(), nullptr, 0, buffer_.data(), static_cast<int>(events.size()),
                                   timeoutMs < 0 ? nullptr : &limit);
    if (count < 0) {
      if (errno == EINTR) return size_t{0};
      return SysError{"kevent", errno};
    }
    round_++;
    size_t filled = 0;
    for (int i = 0; i < count; i++) filled = merge(buffer_[static_cast<size_t>(i)], events, filled);
    return filled;
  }

  void wake() noexcept override {
    const int saved = errno;
    const Event trigger = System::makeEvent(kWakerIdent, System::kFilterUser, 0, System::kTrigger);
    // Cannot fail on a registered user filter but for a signal; EV_CLEAR folds many triggers into one event.
    (void)call(&trigger, 1, nullptr, 0, nullptr);
    errno = saved;
  }

  int backendFd() const override { return queue_.get(); }

 private:
  static constexpr int kWakerIdent = 0;

  struct Watch {
    Token token = 0;
    Interest interest = Interest::None;
    bool isWatched = false;
    uint32_t round = 0;     // the wait that last reported this descriptor,
    uint32_t position = 0;  // and where in its span
  };

  Watch* find(int fd) {
    const size_t index = static_cast<size_t>(fd);
    if (fd < 0 || index >= watches_.size() || !watches_[index].isWatched) return nullptr;
    return &watches_[index];
  }

  // Puts an event into the span, or into the place that its descriptor has there already.
  size_t merge(const Event& event, std::span<ReadyEvent> events, size_t filled) {
    if (event.filter == System::kFilterUser) return filled;  // the waker: returning is all it asks for
    Watch* watch = find(static_cast<int>(event.ident));
    if (watch == nullptr) return filled;
    const uint8_t readiness = readinessOf<System>(event);
    if (watch->round == round_) {
      events[watch->position].readiness |= readiness;
      return filled;
    }
    watch->round = round_;
    watch->position = static_cast<uint32_t>(filled);
    events[filled] = ReadyEvent{watch->token, readiness};
    return filled + 1;
  }

  // All or nothing: a second change that fails undoes the first.
  Result<void> change(int fd, Interest from, Interest to) {
    const Changes<System> changes = changesFor<System>(fd, from, to);
    if (changes.count == 0) return {};
    Event receipts[2];
    const int count = static_cast<int>(changes.count);
    const int answered = call(changes.list, count, receipts, count, nullptr);
    if (answered < 0) return SysError{"kevent", errno};
    int code = 0;
    for (int i = 0; i < answered; i++) {
      if ((receipts[i].flags & System::kError) != 0 && receipts[i].data != 0) code = static_cast<int>(receipts[i].data);
    }
    if (code == 0) return {};
    if (changes.count == 2) {
      const Changes<System> undo = changesFor<System>(fd, to, from);
      (void)call(undo.list, count, receipts, count, nullptr);  // one of the two finds nothing to undo
    }
    return SysError{"kevent", code};
  }

  int call(const Event* changes, int changeCount, Event* events, int eventCount, const timespec* timeout) {
    for (;;) {
      const int count = system_.call(queue_.get(), changes, changeCount, events, eventCount, timeout);
      if (count >= 0 || errno != EINTR) return count;
    }
  }

  System system_;
  OwnedFd queue_;
  std::vector<Watch> watches_;  // by descriptor
  std::vector<Event> buffer_;
  uint32_t round_ = 0;
};

}  // namespace gammaloop::kqueue
