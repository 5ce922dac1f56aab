// The epoll backend where the system has none.
#include <cerrno>

#include "sys/poller.h"

namespace gammaloop {

Result<std::unique_ptr<Poller>> makeEpollPoller() { return SysError{"epoll_create1", ENOSYS}; }

}  // namespace gammaloop
