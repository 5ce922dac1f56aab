// Systems where a priority is that of the whole process, the event loop's included.
#include "sys/thread.h"

namespace gammaloop {

void giveWay(uint32_t) noexcept {}

}  // namespace gammaloop
