// The libuv backend in builds that do not run inside node (the native tests, the sanitizers, the fuzzers).
#include <cerrno>

#include "sys/poller.h"

namespace gammaloop {

Result<std::unique_ptr<Poller>> makeUvPoller(uv_loop_s*) { return SysError{"uv_loop", ENOSYS}; }
Result<std::unique_ptr<Poller>> makeOwnLoopUvPoller() { return SysError{"uv_loop", ENOSYS}; }

}  // namespace gammaloop
