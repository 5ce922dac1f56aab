// FakeKqueue: a kqueue in user space, for the code of sys/kqueue_poller.h on systems without one. It keeps
// registrations by (descriptor, filter) as the kernel does and asks poll(2) what is ready, so that the whole poller
// contract runs on it. The constants have values of their own, different from any system's: only names may matter.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace gammaloop::test {

struct FakeKqueue {
  struct Event {
    uintptr_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    intptr_t data;
    void* udata;
  };

  static constexpr int16_t kFilterRead = -101;
  static constexpr int16_t kFilterWrite = -102;
  static constexpr int16_t kFilterUser = -103;
  static constexpr uint16_t kAdd = 0x0010;
  static constexpr uint16_t kDelete = 0x0020;
  static constexpr uint16_t kClear = 0x0040;
  static constexpr uint16_t kReceipt = 0x0080;
  static constexpr uint16_t kEof = 0x0100;
  static constexpr uint16_t kError = 0x0200;
  static constexpr uint32_t kTrigger = 0x5000;

  // Shared between the poller's copy and the test's.
  struct State {
    std::map<std::pair<uintptr_t, int16_t>, uint16_t> registered;
    std::vector<Event> changes;                // all that were submitted, but for triggers
    std::map<int16_t, int> failures;           // filter to errno, for the next change that adds it
    std::vector<std::vector<Event>> scripted;  // answers to the next waits instead of poll's
    std::vector<int> eventCounts;              // nevents of each wait
  };
  std::shared_ptr<State> state = std::make_shared<State>();

  static Event makeEvent(int ident, int16_t filter, uint16_t flags, uint32_t fflags) {
    return Event{static_cast<uintptr_t>(ident), filter, flags, fflags, 0, nullptr};
  }

  int open() { return ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

  int call(int queue, const Event* changes, int changeCount, Event* events, int eventCount, const timespec* timeout) {
    int answered = 0;
    for (int i = 0; i < changeCount; i++) {
      const int code = apply(queue, changes[i]);
      const bool wantsReceipt = (changes[i].flags & kReceipt) != 0;
      if (code == 0 && !wantsReceipt) continue;
      if (answered == eventCount) {
        errno = code;
        return -1;
      }
      events[answered] = changes[i];
      events[answered].flags = static_cast<uint16_t>(changes[i].flags | kError);
      events[answered++].data = code;
    }
    if (answered > 0 || eventCount == 0) return answered;
    return collect(queue, events, eventCount, timeout);
  }

 private:
  // A trigger comes from any thread and touches the descriptor only.
  int apply(int queue, const Event& change) {
    if (change.filter == kFilterUser) {
      const uint64_t one = 1;
      if ((change.fflags & kTrigger) != 0 && ::write(queue, &one, sizeof(one)) < 0) return errno;
      return 0;
    }
    state->changes.push_back(change);
    const auto key = std::pair(change.ident, change.filter);
    if ((change.flags & kDelete) != 0) return state->registered.erase(key) == 1 ? 0 : ENOENT;
    if (const auto failure = state->failures.find(change.filter); failure != state->failures.end()) {
      return std::exchange(failure->second, 0);
    }
    state->registered[key] = change.flags;
    return 0;
  }

  int collect(int queue, Event* events, int eventCount, const timespec* timeout) {
    state->eventCounts.push_back(eventCount);
    if (!state->scripted.empty()) {
      const std::vector<Event> next = std::move(state->scripted.front());
      state->scripted.erase(state->scripted.begin());
      for (size_t i = 0; i < next.size(); i++) events[i] = next[i];
      return static_cast<int>(next.size());
    }
    std::vector<pollfd> watched{{queue, POLLIN, 0}};
    std::vector<int16_t> filters{kFilterUser};
    for (const auto& [key, flags] : state->registered) {
      const short wanted = key.second == kFilterRead ? POLLIN | POLLRDHUP : POLLOUT;
      watched.push_back({static_cast<int>(key.first), wanted, 0});
      filters.push_back(key.second);
    }
    const int timeoutMs =
        timeout == nullptr ? -1 : static_cast<int>(timeout->tv_sec * 1000 + timeout->tv_nsec / 1'000'000);
    if (::poll(watched.data(), watched.size(), timeoutMs) < 0) return -1;
    return translate(queue, watched, filters, events, eventCount);
  }

  int translate(int queue, const std::vector<pollfd>& watched, const std::vector<int16_t>& filters, Event* events,
                int eventCount) {
    int filled = 0;
    const size_t total = watched.size();
    // The kernel puts what it has reported at the end of its list; starting elsewhere each time does the same.
    const size_t start = nextStart_++ % total;
    for (size_t step = 0; step < total && filled < eventCount; step++) {
      const size_t i = (start * 7 + step) % total;
      const short got = watched[i].revents;
      if (got == 0) continue;
      if (got & POLLNVAL) {
        state->registered.erase({static_cast<uintptr_t>(watched[i].fd), filters[i]});
        continue;
      }
      uint16_t flags = 0;
      if (filters[i] == kFilterUser) {
        uint64_t count = 0;
        if (::read(queue, &count, sizeof(count)) < 0) return -1;
        flags = kClear;
      } else if (got & (POLLHUP | POLLRDHUP | POLLERR)) {
        flags = kEof;
      }
      const int ident = filters[i] == kFilterUser ? 0 : watched[i].fd;
      events[filled] =
          makeEvent(ident, filters[i], flags, (got & POLLERR) && filters[i] == kFilterRead ? ECONNRESET : 0);
      filled++;
    }
    return filled;
  }

  size_t nextStart_ = 0;
};

}  // namespace gammaloop::test
