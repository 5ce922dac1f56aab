// fileIdentity: which open file a descriptor's number stands for, as far as the system says. Two numbers of anonymous
// files (eventfd, inotify, timerfd) may have the same one.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace gammaloop {

struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;

  bool operator==(const FileIdentity&) const = default;
};

// EBADF: the number names nothing.
Result<FileIdentity> fileIdentity(int fd);

}  // namespace gammaloop
