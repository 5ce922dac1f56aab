// The kqueue backend where the system has none.
#include <cerrno>

#include "sys/poller.h"

namespace gammaloop {

Result<std::unique_ptr<Poller>> makeKqueuePoller() { return SysError{"kqueue", ENOSYS}; }

}  // namespace gammaloop
