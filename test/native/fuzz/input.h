// Input: the bytes that the fuzzer gives, read as a program. Past their end everything is 0, or empty.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "engine_client.h"

namespace gammaloop::test {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  bool empty() const { return at_ == end_; }
  uint32_t byte() { return at_ == end_ ? 0 : *at_++; }
  std::string_view bytes(size_t wanted) {
    const size_t size = std::min(wanted, static_cast<size_t>(end_ - at_));
    const std::string_view taken(reinterpret_cast<const char*>(at_), size);
    at_ += size;
    return taken;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

// One run: the world with one client, at most so many steps of the input, and the end, after which no descriptor is
// open.
template <typename Play>
int playInput(const uint8_t* data, size_t size) {
  const int fdsBefore = openDescriptors();
  Input input(data, size);
  {
    Play play(input);
    play.clients[0] = play.world.connect();
    for (int steps = 0; !input.empty() && steps < 400; steps++) play.step();
    play.finish();
  }
  GAMMALOOP_CHECK(openDescriptors() == fdsBefore);
  return 0;
}

}  // namespace gammaloop::test
