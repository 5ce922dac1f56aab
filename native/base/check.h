// GAMMALOOP_CHECK: a broken invariant of our own code, never a user's mistake (those are coded errors, raised in
// TypeScript before native code is reached). Stops the process with the place, since going on would corrupt memory.
#pragma once

#include <cstdio>
#include <cstdlib>

#define GAMMALOOP_CHECK(condition)                                                                            \
  do {                                                                                                        \
    if (!(condition)) [[unlikely]] {                                                                          \
      std::fprintf(stderr, "gammaloop: internal check failed: %s (%s:%d)\n", #condition, __FILE__, __LINE__); \
      std::abort();                                                                                           \
    }                                                                                                         \
  } while (0)
