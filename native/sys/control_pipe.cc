#include "sys/control_pipe.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace gammaloop {

bool readControl(int fd, void* bytes, size_t size) {
  auto* next = static_cast<char*>(bytes);
  while (size > 0) {
    const ssize_t count = ::read(fd, next, size);
    if (count > 0) {
      next += count;
      size -= static_cast<size_t>(count);
    } else if (count < 0 && errno == EAGAIN) {
      pollfd waiting{fd, POLLIN, 0};
      (void)::poll(&waiting, 1, -1);  // whatever it says, the next read says it better
    } else if (count == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

void endOrphan() { ::_exit(1); }

}  // namespace gammaloop
