// The reading end of a pipe by which a parent process controls this one, for a thread that waits for nothing else.
// Thread: that one.
#pragma once

#include <cstddef>

namespace gammaloop {

// Waits for `size` bytes. False: the other end is closed, which is also what the parent's death does to it.
bool readControl(int fd, void* bytes, size_t size);

// Ends the process now, without a word to anybody: its parent has gone.
[[noreturn]] void endOrphan();

}  // namespace gammaloop
