// Linux: each thread has a priority of its own.
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

#include "sys/thread.h"

namespace gammaloop {

void giveWay(uint32_t increment) noexcept {
  if (increment == 0) return;
  const int saved = errno;
  errno = 0;  // -1 is a priority, too
  const int own = ::getpriority(PRIO_PROCESS, 0);
  // Never refused: only who wants to be more urgent needs to be allowed to.
  if (own != -1 || errno == 0) (void)::setpriority(PRIO_PROCESS, 0, std::min(own + static_cast<int>(increment), 19));
  errno = saved;
}

}  // namespace gammaloop
