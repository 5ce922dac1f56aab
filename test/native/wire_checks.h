// What the tests of wire sessions check alike.
#pragma once

#include "engine_checks.h"
#include "wire_harness.h"

namespace gammaloop::test {

// The clients have gone: nothing is left.
inline void expectNothingLeft(WireWorld& world) {
  world.run();
  EXPECT_EQ(world.engine.reactor().connectionCount(), 0u);
  EXPECT_EQ(world.engine.reactor().holdingCount(), 0u);
  EXPECT_EQ(world.http().openConnections(), 0u);
  for (const auto& wire : world.wires) EXPECT(wire->closed);
  const HttpCounters& counters = world.counters();
  EXPECT_EQ(counters.requestsReceived, counters.requestsCompleted + counters.requestsAborted);
}

}  // namespace gammaloop::test
