#include "engine/repeated_looks.h"

#include <algorithm>
#include <vector>

#include "test.h"

using namespace gammaloop;

namespace {

// Turns, each with what its looks find one after the other, at `lookMs` each; returns how many looks each had.
std::vector<int> looksOf(RepeatedLooks& looks, size_t turns, const std::vector<size_t>& found, uint64_t lookMs = 0) {
  std::vector<int> counts;
  for (size_t turn = 0; turn < turns; turn++) {
    int count = 0;
    const auto wanted = [&] {
      const size_t ready = found[std::min(static_cast<size_t>(count), found.size() - 1)];
      return looks.wanted(ready, count, 1000 + static_cast<uint64_t>(count) * lookMs);
    };
    while (wanted()) count++;
    counts.push_back(count);
  }
  return counts;
}

}  // namespace

TEST("repeated looks: as long as they find something, and no more than 48 with what the turn found") {
  RepeatedLooks looks;
  EXPECT(looksOf(looks, 3, {1}) == (std::vector<int>{47, 47, 47}));
  EXPECT(looksOf(looks, 2, {3, 2, 1, 1, 1}) == (std::vector<int>{44, 44}));
  EXPECT(looksOf(looks, 2, {8}) == (std::vector<int>{5, 5}));
}

TEST("repeated looks: one that takes a millisecond is the last") {
  RepeatedLooks looks;
  EXPECT(looksOf(looks, 2, {1}, 1) == (std::vector<int>{1, 1}));
}

TEST("repeated looks: none after a turn that found nothing, or many") {
  RepeatedLooks looks;
  EXPECT(looksOf(looks, 2, {0}) == (std::vector<int>{0, 0}));
  EXPECT(looksOf(looks, 2, {9}) == (std::vector<int>{0, 0}));
  EXPECT(looksOf(looks, 1, {8, 9}) == (std::vector<int>{1}));
}

TEST("repeated looks: in vain they become rare, and one that finds something makes them common again") {
  RepeatedLooks looks;
  const std::vector<int> counts = looksOf(looks, 1000, {1, 0});
  int total = 0;
  for (const int count : counts) total += count;
  EXPECT_EQ(total, 7 + (1000 - 7 - 63) / 65);  // pauses of 1, 2, 4 ... 32 turns, then of 64
  while (looksOf(looks, 1, {1, 1, 0}).front() == 0) continue;
  EXPECT(looksOf(looks, 2, {1}).back() == 47);
}
