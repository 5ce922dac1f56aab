#include "sys/shared_library.h"

#include <dlfcn.h>

namespace gammaloop {

void* openSharedLibrary(const char* path, std::string& error) {
  // Every symbol is bound now: a missing one is an error here, not a crash in a task.
  void* library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* text = ::dlerror();
    error = text == nullptr ? "dlopen failed" : text;
  }
  return library;
}

void* findSymbol(void* library, const char* name) { return ::dlsym(library, name); }

}  // namespace gammaloop
