// The kqueue backend: macOS and FreeBSD. The logic is in kqueue_poller.h; here are the system's names for it.
#include <fcntl.h>
#include <sys/types.h>

#include <sys/event.h>
#include <sys/time.h>
#include <unistd.h>

#include "sys/kqueue_poller.h"
#include "sys/poller.h"

namespace gammaloop {

namespace {

struct KernelKqueue {
  using Event = struct kevent;

  static constexpr int16_t kFilterRead = EVFILT_READ;
  static constexpr int16_t kFilterWrite = EVFILT_WRITE;
  static constexpr int16_t kFilterUser = EVFILT_USER;
  static constexpr uint16_t kAdd = EV_ADD;
  static constexpr uint16_t kDelete = EV_DELETE;
  static constexpr uint16_t kClear = EV_CLEAR;
  static constexpr uint16_t kReceipt = EV_RECEIPT;
  static constexpr uint16_t kEof = EV_EOF;
  static constexpr uint16_t kError = EV_ERROR;
  static constexpr uint32_t kTrigger = NOTE_TRIGGER;

  static Event makeEvent(int ident, int16_t filter, uint16_t flags, uint32_t fflags) {
    Event event = {};
    event.ident = static_cast<uintptr_t>(ident);
    event.filter = filter;
    event.flags = flags;
    event.fflags = fflags;
    return event;
  }

  int open() {
    OwnedFd queue(::kqueue());
    if (!queue.isOpen() || ::fcntl(queue.get(), F_SETFD, FD_CLOEXEC) != 0) return -1;
    return queue.release();
  }

  int call(int queue, const Event* changes, int changeCount, Event* events, int eventCount, const timespec* timeout) {
    return ::kevent(queue, changes, changeCount, events, eventCount, timeout);
  }
};

}  // namespace

Result<std::unique_ptr<Poller>> makeKqueuePoller() {
  auto poller = std::make_unique<kqueue::KqueuePoller<KernelKqueue>>();
  if (auto opened = poller->open(); !opened) return opened.error();
  return std::unique_ptr<Poller>(std::move(poller));
}

}  // namespace gammaloop
