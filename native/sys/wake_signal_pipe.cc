// Systems without eventfd: a pipe that holds at most one byte.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "sys/wake_signal.h"

namespace gammaloop {

namespace {

Result<void> setFlags(int fd) {
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return SysError{"fcntl", errno};
  return {};
}

}  // namespace

Result<void> WakeSignal::open() {
  int ends[2];
  if (::pipe(ends) != 0) return SysError{"pipe", errno};
  readEnd_ = OwnedFd(ends[0]);
  writeEnd_ = OwnedFd(ends[1]);
  for (const int fd : ends) {
    if (auto set = setFlags(fd); !set) return set.error();
  }
  return {};
}

void WakeSignal::raise() noexcept {
  if (isPending_.exchange(true, std::memory_order_acq_rel)) return;
  const int saved = errno;
  const char byte = 1;
  while (::write(writeEnd_.get(), &byte, 1) < 0 && errno == EINTR) {
  }
  errno = saved;
}

void WakeSignal::consume() noexcept {
  char byte = 0;
  while (::read(readEnd_.get(), &byte, 1) < 0 && errno == EINTR) {
  }
  // After the read, and an exchange: see wake_signal_eventfd.cc.
  (void)isPending_.exchange(false, std::memory_order_acq_rel);
}

}  // namespace gammaloop
