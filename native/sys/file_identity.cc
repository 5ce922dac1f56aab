#include "sys/file_identity.h"

#include <sys/stat.h>

#include <cerrno>

namespace gammaloop {

Result<FileIdentity> fileIdentity(int fd) {
  struct stat status = {};
  if (::fstat(fd, &status) != 0) return SysError{"fstat", errno};
  return FileIdentity{static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino)};
}

}  // namespace gammaloop
