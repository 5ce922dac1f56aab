#include "reactor/backlog.h"

#include <random>
#include <string>

#include "test.h"

using namespace gammaloop;

namespace {

std::span<const uint8_t> bytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string textOf(const Backlog& backlog, size_t maxSlices) {
  std::vector<IoSlice> slices(maxSlices);
  const Backlog::Offer offer = backlog.offer(slices);
  std::string text;
  for (size_t i = 0; i < offer.slices; i++) {
    text.append(static_cast<const char*>(slices[i].data), slices[i].size);
  }
  EXPECT_EQ(text.size(), offer.bytes);
  return text;
}

}  // namespace

TEST("backlog: own bytes and shared frames, from any place, leave in their order by any steps") {
  std::mt19937 random(7);
  const auto below = [&random](size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(random); };
  for (int round = 0; round < 50; round++) {
    Backlog backlog;
    std::string model;
    for (int step = 0; step < 200; step++) {
      std::string text(below(step % 10 == 0 ? 200'000 : 1000), static_cast<char>('a' + step % 26));
      if (!text.empty()) text.back() = '.';
      switch (below(3)) {
        case 0:
          backlog.append(bytesOf(text));
          model += text;
          break;
        case 1: {
          if (text.empty()) break;
          SharedFrame frame{bytesOf(text)};
          const size_t start = below(text.size());
          backlog.append(frame, start);
          model += text.substr(start);
          break;
        }
        default: {
          const size_t taken = model.empty() ? 0 : below(model.size() + 1);
          backlog.consume(taken);
          model.erase(0, taken);
        }
      }
      EXPECT_EQ(backlog.size(), model.size());
      EXPECT(textOf(backlog, 1000) == model);
      EXPECT(model.starts_with(textOf(backlog, 2)));
    }
  }
}

TEST("backlog: a frame is copied once for all that keep it, at first need, and goes with the last of them") {
  std::string text(1000, 'x');
  Backlog first;
  auto second = std::make_unique<Backlog>();
  std::weak_ptr<const std::vector<uint8_t>> copy;
  {
    SharedFrame frame{bytesOf(text)};
    EXPECT(frame.copy == nullptr);
    first.append(frame, 0);
    second->append(frame, 999);
    copy = frame.copy;
    EXPECT_EQ(copy.use_count(), 3);
  }
  text.assign(1000, 'y');  // the batch's memory is used again
  EXPECT(textOf(first, 8) == std::string(1000, 'x'));
  EXPECT(textOf(*second, 8) == "x");
  first.consume(1000);
  EXPECT(!copy.expired());
  second.reset();
  EXPECT(copy.expired());
}
