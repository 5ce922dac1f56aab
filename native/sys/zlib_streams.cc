#include "sys/zlib_streams.h"

#include <dlfcn.h>

namespace gammaloop {

namespace {

constexpr int kOk = 0;
constexpr int kStreamEnd = 1;
constexpr int kBufferError = -5;  // no progress was possible: nothing is wrong
constexpr int kNoFlush = 0;
constexpr int kSyncFlush = 2;
constexpr int kDeflated = 8;
constexpr int kDefaultStrategy = 0;
constexpr char kVersion[] = "1";  // zlib compares the first character

struct Zlib {
  int (*inflateInit2)(ZStream*, int windowBits, const char* version, int streamSize) = nullptr;
  int (*inflate)(ZStream*, int flush) = nullptr;
  int (*inflateReset)(ZStream*) = nullptr;
  int (*inflateEnd)(ZStream*) = nullptr;
  int (*deflateInit2)(ZStream*, int level, int method, int windowBits, int memLevel, int strategy, const char* version,
                      int streamSize) = nullptr;
  int (*deflate)(ZStream*, int flush) = nullptr;
  unsigned long (*deflateBound)(ZStream*, unsigned long) = nullptr;
  int (*deflateReset)(ZStream*) = nullptr;
  int (*deflateEnd)(ZStream*) = nullptr;
  bool complete = false;
};

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  void* symbol = dlsym(library, name);
  function = reinterpret_cast<Function>(symbol);
  return symbol != nullptr;
}

bool findAll(void* library, Zlib& zlib) {
  return find(library, "inflateInit2_", zlib.inflateInit2) && find(library, "inflate", zlib.inflate) &&
         find(library, "inflateReset", zlib.inflateReset) && find(library, "inflateEnd", zlib.inflateEnd) &&
         find(library, "deflateInit2_", zlib.deflateInit2) && find(library, "deflate", zlib.deflate) &&
         find(library, "deflateBound", zlib.deflateBound) && find(library, "deflateReset", zlib.deflateReset) &&
         find(library, "deflateEnd", zlib.deflateEnd);
}

Zlib load() {
  Zlib zlib;
  zlib.complete = findAll(RTLD_DEFAULT, zlib);
  for (const char* name : {"libz.so.1", "libz.1.dylib", "libz.so"}) {
    if (zlib.complete) break;
    void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);  // kept for the life of the process
    if (library != nullptr) zlib.complete = findAll(library, zlib);
  }
  return zlib;
}

const Zlib& zlib() {
  static const Zlib loaded = load();
  return loaded;
}

}  // namespace

bool isZlibAvailable() { return zlib().complete; }

std::unique_ptr<Inflater> Inflater::create(int windowBits) {
  if (!isZlibAvailable()) return nullptr;
  std::unique_ptr<Inflater> inflater(new Inflater());
  if (zlib().inflateInit2(&inflater->stream_, -windowBits, kVersion, sizeof(ZStream)) == kOk) return inflater;
  return nullptr;
}

Inflater::~Inflater() {
  // It can only say that the stream was not read to its end.
  if (stream_.state != nullptr) (void)zlib().inflateEnd(&stream_);
}

Inflater::Step Inflater::step(std::span<const uint8_t> from, std::span<uint8_t> to) {
  stream_.nextIn = from.data();
  stream_.availableIn = static_cast<unsigned>(from.size());
  stream_.nextOut = to.data();
  stream_.availableOut = static_cast<unsigned>(to.size());
  const int result = zlib().inflate(&stream_, kSyncFlush);
  return {from.size() - stream_.availableIn, to.size() - stream_.availableOut,
          result == kOk || result == kStreamEnd || result == kBufferError, result == kStreamEnd};
}

// It fails only for a stream that was never opened.
void Inflater::reset() { (void)zlib().inflateReset(&stream_); }

std::unique_ptr<Deflater> Deflater::create(int level, int windowBits, int memLevel) {
  if (!isZlibAvailable()) return nullptr;
  std::unique_ptr<Deflater> deflater(new Deflater());
  if (zlib().deflateInit2(&deflater->stream_, level, kDeflated, -windowBits, memLevel, kDefaultStrategy, kVersion,
                          sizeof(ZStream)) == kOk) {
    return deflater;
  }
  return nullptr;
}

Deflater::~Deflater() {
  if (stream_.state != nullptr) (void)zlib().deflateEnd(&stream_);  // as above
}

size_t Deflater::bound(size_t size) {
  static constexpr size_t kFlushBytes = 16;  // the empty block of a flush, and what its alignment costs
  return zlib().deflateBound(&stream_, size) + kFlushBytes;
}

Deflater::Step Deflater::step(std::span<const uint8_t> from, std::span<uint8_t> to, bool flush) {
  stream_.nextIn = from.data();
  stream_.availableIn = static_cast<unsigned>(from.size());
  stream_.nextOut = to.data();
  stream_.availableOut = static_cast<unsigned>(to.size());
  // With the output full it says so by kOk, with nothing to do by kBufferError: both are told by the counts.
  (void)zlib().deflate(&stream_, flush ? kSyncFlush : kNoFlush);
  return {from.size() - stream_.availableIn, to.size() - stream_.availableOut};
}

void Deflater::reset() { (void)zlib().deflateReset(&stream_); }

}  // namespace gammaloop
