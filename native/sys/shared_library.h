// Shared libraries that are opened while the process runs. They are never closed: what they have started, or handed
// out, may outlive every use that we know of. Thread: any.
#pragma once

#include <string>

namespace gammaloop {

// The library of this file; the system opens each file once, however often it is asked. nullptr: `error` says why.
void* openSharedLibrary(const char* path, std::string& error);
// nullptr: it exports no such symbol.
void* findSymbol(void* library, const char* name);

}  // namespace gammaloop
