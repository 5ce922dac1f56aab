// The parts of engine_harness.h that hold and do nothing: rings in plain memory, an exchange as the application sees
// it, what a test may choose.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "http/http_server.h"
#include "ring/record_ring.h"
#include "ring/records.h"

namespace gammaloop::test {

struct Ring {
  explicit Ring(uint32_t capacity) : data(capacity / 8), capacity(capacity) {}
  RingMemory memory() { return {control, bytes(), capacity}; }
  uint8_t* bytes() { return reinterpret_cast<uint8_t*>(data.data()); }

  alignas(8) uint32_t control[records::kControlWords] = {};
  std::vector<uint64_t> data;
  uint32_t capacity;
};

// An exchange as the application sees it.
struct Call {
  SlabKey key;
  uint32_t flags = 0;
  std::string method;
  std::string target;
  std::string fields;  // "name: value\n"...
  std::string body;
  std::string trailers;
  bool bodyEnded = false;
  bool softAborted = false;
  uint32_t aborted = 0;  // kAbort...
  int writable = 0;
  int serial = 0;  // in the order of arrival

  bool has(uint32_t flag) const { return (flags & flag) != 0; }
};

struct Options {
  bool poll = false;  // else epoll
  bool tcp = false;   // else a local socket
  uint32_t completionBytes = 1024 * 1024;
  uint32_t submissionBytes = 1024 * 1024;
  HttpLimits limits;
  HttpTimeouts timeouts;
};

}  // namespace gammaloop::test
