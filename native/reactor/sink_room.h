// Room on the way to the application, and who waits for it. Where there is none a session keeps its bytes, asks to be
// resumed (stall), and goes on in resume(). Thread: the reactor's.
#pragma once

#include <cstddef>

#include "base/intrusive_list.h"

namespace gammaloop {

struct StalledTag {};

class Stallable : public ListNode<StalledTag> {
 public:
  virtual void resume() = 0;

 protected:
  ~Stallable() = default;
};

class SinkRoom {
 public:
  virtual ~SinkRoom() = default;
  // How many bytes of a body, or of messages, may be handed over next.
  virtual size_t bodyRoom() = 0;
  // Resume this session when there is room.
  virtual void stall(Stallable& session) = 0;
};

}  // namespace gammaloop
