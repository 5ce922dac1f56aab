// Driver: who calls Reactor::runOnce, and when. The seam between an engine on Node's own loop (InlineDriver) and one on
// a thread of its own.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"

namespace gammaloop {

class Driver {
 public:
  virtual ~Driver() = default;
  // Begins to call. Before it, and after stop(), nothing runs.
  virtual Result<void> start() = 0;
  // Whether open servers and connections keep the process alive.
  virtual void setReferenced(bool referenced) = 0;
  // A turn is wanted in `delayMs` at the latest; replaces the earlier wish. Negative: none.
  virtual void wakeIn(int64_t delayMs) = 0;
  // Stops for good; `stopped` is called once no callback can come any more, maybe after this call has returned.
  virtual void stop(std::function<void()> stopped) = 0;
};

}  // namespace gammaloop
