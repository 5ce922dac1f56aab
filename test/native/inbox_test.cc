// Inbox: messages of several threads come whole, once, in each one's order; nobody rings or is heard after close().
#include "base/inbox.h"

#include <array>
#include <atomic>
#include <cstring>
#include <thread>

#include "test.h"

using namespace gammaloop;

namespace {

struct CountingDoorbell final : Doorbell {
  std::atomic<int> rings{0};
  void ring() noexcept override { rings++; }
};

std::span<const uint8_t> bytesOf(const uint32_t& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof value};
}

}  // namespace

TEST("inbox: rings once for what was not looked at") {
  const auto doorbell = std::make_shared<CountingDoorbell>();
  Inbox inbox(doorbell);
  const uint32_t first = 7;
  EXPECT(Inbox::post(inbox.id(), bytesOf(first)));
  EXPECT(Inbox::post(inbox.id(), {}));
  EXPECT_EQ(doorbell->rings.load(), 1);
  const std::vector<uint8_t> messages = inbox.takeAll();
  EXPECT_EQ(messages.size(), size_t{4 + 4 + 4});
  EXPECT_EQ(inbox.takeAll().size(), size_t{0});
  EXPECT(Inbox::post(inbox.id(), {}));
  EXPECT_EQ(doorbell->rings.load(), 2);
}

TEST("inbox: closed is found by nobody") {
  const auto doorbell = std::make_shared<CountingDoorbell>();
  Inbox inbox(doorbell);
  Inbox other(doorbell);
  EXPECT(inbox.id() != other.id());
  inbox.close();
  inbox.close();
  EXPECT(!Inbox::post(inbox.id(), {}));
  EXPECT(Inbox::post(other.id(), {}));
  EXPECT_EQ(doorbell->rings.load(), 1);
}

TEST("inbox: of many threads") {
  constexpr uint32_t kThreads = 4;
  constexpr uint32_t kCount = 5000;
  const auto doorbell = std::make_shared<CountingDoorbell>();
  Inbox inbox(doorbell);
  std::array<std::thread, kThreads> threads;
  for (uint32_t from = 0; from < kThreads; from++) {
    threads[from] = std::thread([from, id = inbox.id()] {
      for (uint32_t i = 0; i < kCount; i++) Inbox::post(id, bytesOf(from * kCount + i));
    });
  }
  std::array<uint32_t, kThreads> next{};
  bool inOrder = true;
  for (uint32_t received = 0; received < kThreads * kCount;) {
    const std::vector<uint8_t> messages = inbox.takeAll();
    for (size_t at = 0; at < messages.size(); at += 8, received++) {
      uint32_t words[2];
      std::memcpy(words, messages.data() + at, sizeof words);
      const uint32_t from = words[1] / kCount;
      inOrder = inOrder && words[0] == 4 && words[1] % kCount == next[from]++;
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT(inOrder);
  EXPECT(doorbell->rings.load() >= 1);
}
