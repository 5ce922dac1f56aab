// Linux: an eventfd, one descriptor with both ends.
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "sys/wake_signal.h"

namespace gammaloop {

Result<void> WakeSignal::open() {
  readEnd_ = OwnedFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!readEnd_.isOpen()) return SysError{"eventfd", errno};
  return {};
}

void WakeSignal::raise() noexcept {
  if (isPending_.exchange(true, std::memory_order_acq_rel)) return;
  const int saved = errno;
  const uint64_t one = 1;
  // EAGAIN would mean a full counter, which is as readable as can be.
  while (::write(readEnd_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  errno = saved;
}

void WakeSignal::consume() noexcept {
  uint64_t count = 0;
  while (::read(readEnd_.get(), &count, sizeof(count)) < 0 && errno == EINTR) {
  }
  // After the read: were it before, a raise() in between would be read away with the flag left set, and every later
  // raise() would be lost. An exchange, not a store, so that it also takes over what the raiser wrote.
  (void)isPending_.exchange(false, std::memory_order_acq_rel);
}

}  // namespace gammaloop
