#include "reactor/timer_wheel.h"

#include <algorithm>

namespace gammaloop {

void TimerWheel::schedule(TimerNode& node, uint64_t deadlineMs) {
  node.deadlineMs = deadlineMs;
  // Later than where it stands: it will be moved on when its slot comes up.
  if (node.isLinked() && node.slotTick * kTickMs <= deadlineMs + kTickMs) return;
  node.unlink();
  insert(node);
}

void TimerWheel::advance(uint64_t nowMs) {
  const uint64_t target = nowMs / kTickMs;
  // After a long sleep one turn of the wheel reaches every slot.
  if (target > tick_ + kSlots) tick_ = target - kSlots;
  while (tick_ < target) {
    tick_++;
    Slot due;
    due.takeAll(slots_[tick_ % kSlots]);
    while (TimerNode* node = due.popFront()) {
      if (node->deadlineMs == 0) continue;
      if (node->deadlineMs > nowMs) {
        insert(*node);
        continue;
      }
      node->deadlineMs = 0;
      node->onExpired(*node, nowMs);
    }
  }
}

void TimerWheel::insert(TimerNode& node) {
  const uint64_t wanted = (node.deadlineMs + kTickMs - 1) / kTickMs;
  node.slotTick = std::clamp(wanted, tick_ + 1, tick_ + kSlots - 1);
  slots_[node.slotTick % kSlots].pushBack(node);
  wakeTick_ = std::min(wakeTick_, node.slotTick);
}

std::optional<uint64_t> TimerWheel::nextWakeMs() {
  for (uint64_t tick = std::max(wakeTick_, tick_ + 1); tick < tick_ + kSlots; tick++) {
    if (slots_[tick % kSlots].empty()) continue;
    wakeTick_ = tick;
    return tick * kTickMs;
  }
  wakeTick_ = tick_ + kSlots;
  return std::nullopt;
}

}  // namespace gammaloop
