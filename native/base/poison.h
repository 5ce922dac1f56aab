// poison / unpoison: memory of our own allocators (slab, arena) that nobody may touch now. Under the address sanitizer
// a touch ends the process with both places, as it does for freed heap memory; without it these are nothing.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define GAMMALOOP_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GAMMALOOP_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef GAMMALOOP_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace gammaloop {

#ifdef GAMMALOOP_ADDRESS_SANITIZER
inline void poison(const volatile void* memory, size_t size) { __asan_poison_memory_region(memory, size); }
inline void unpoison(const volatile void* memory, size_t size) { __asan_unpoison_memory_region(memory, size); }
#else
inline void poison(const volatile void*, size_t) {}
inline void unpoison(const volatile void*, size_t) {}
#endif

}  // namespace gammaloop
