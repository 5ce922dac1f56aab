// checkPollable: what epoll refuses by itself, for the backends whose system takes every descriptor: EPERM for regular
// files and directories, which are always "ready", and EBADF for a number that names nothing.
#pragma once

#include <sys/stat.h>

#include <cerrno>

#include "base/result.h"

namespace gammaloop {

inline Result<void> checkPollable(int fd) {
  struct stat status = {};
  if (::fstat(fd, &status) != 0) return SysError{"fstat", errno};
  if (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) return SysError{"poll", EPERM};
  return {};
}

}  // namespace gammaloop
