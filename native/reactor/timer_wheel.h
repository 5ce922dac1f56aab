// TimerWheel: many deadlines, cheap to move. A deadline that is moved later costs one store: the node stays in its slot
// and is put where it belongs when that slot comes up. Resolution kTickMs; never early. Owned by the reactor; its
// thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/intrusive_list.h"

namespace gammaloop {

struct TimerTag {};

// Unlinks itself when destroyed.
struct TimerNode : ListNode<TimerTag> {
  uint64_t deadlineMs = 0;  // 0: none
  uint64_t slotTick = 0;    // where it stands, while linked
  void (*onExpired)(TimerNode& node, uint64_t nowMs) = nullptr;
};

class TimerWheel {
 public:
  static constexpr uint64_t kTickMs = 16;
  static constexpr uint32_t kSlots = 1024;  // a turn of 16 s; later deadlines are looked at once a turn

  explicit TimerWheel(uint64_t nowMs) : tick_(nowMs / kTickMs) {}

  void schedule(TimerNode& node, uint64_t deadlineMs);
  void cancel(TimerNode& node) { node.deadlineMs = 0; }
  // The instant at which advance() has something to look at, or nothing.
  std::optional<uint64_t> nextWakeMs();
  // Calls onExpired of each node whose deadline has passed; the node is disarmed, and may be scheduled again or
  // destroyed.
  void advance(uint64_t nowMs);

 private:
  using Slot = IntrusiveList<TimerNode, TimerTag>;

  void insert(TimerNode& node);

  std::array<Slot, kSlots> slots_;
  uint64_t tick_;          // the last tick that was dealt with
  uint64_t wakeTick_ = 0;  // no occupied slot comes before it
};

}  // namespace gammaloop
