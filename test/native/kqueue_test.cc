// kqueue's translation of interests, filters and flags, and its poller's bookkeeping, against a faked kernel.
#include <poll.h>

#include "kqueue_fake.h"
#include "poller_support.h"
#include "sys/kqueue_poller.h"

namespace gammaloop::test {

namespace {

using Fake = FakeKqueue;
using FakePoller = kqueue::KqueuePoller<Fake>;

struct Change {
  int fd;
  int16_t filter;
  bool isAdded;
  bool operator==(const Change&) const = default;
};

std::vector<Change> listOf(const kqueue::Changes<Fake>& changes) {
  std::vector<Change> list;
  for (size_t i = 0; i < changes.count; i++) {
    const Fake::Event& event = changes.list[i];
    EXPECT((event.flags & Fake::kReceipt) != 0);
    EXPECT(((event.flags & Fake::kAdd) != 0) != ((event.flags & Fake::kDelete) != 0));
    EXPECT_EQ(event.flags & Fake::kClear, 0);  // level-triggered
    list.push_back({static_cast<int>(event.ident), event.filter, (event.flags & Fake::kAdd) != 0});
  }
  return list;
}

uint8_t readinessOf(int16_t filter, uint16_t flags, uint32_t fflags) {
  return kqueue::readinessOf<Fake>(Fake::makeEvent(5, filter, flags, fflags));
}

}  // namespace

TEST("kqueue filters: every change of interest") {
  for (int from = 0; from < 4; from++) {
    for (int to = 0; to < 4; to++) {
      std::vector<Change> expected;
      if ((from & 1) != (to & 1)) expected.push_back({9, Fake::kFilterRead, (to & 1) != 0});
      if ((from & 2) != (to & 2)) expected.push_back({9, Fake::kFilterWrite, (to & 2) != 0});
      const auto changes = kqueue::changesFor<Fake>(9, static_cast<Interest>(from), static_cast<Interest>(to));
      EXPECT(listOf(changes) == expected);
    }
  }
}

TEST("kqueue filters: readiness of events") {
  constexpr uint8_t kReadable = Readiness::kReadable;
  constexpr uint8_t kWritable = Readiness::kWritable;
  constexpr uint8_t kError = Readiness::kError;
  constexpr uint8_t kHangup = Readiness::kHangup;
  EXPECT_EQ(readinessOf(Fake::kFilterRead, 0, 0), kReadable);
  EXPECT_EQ(readinessOf(Fake::kFilterWrite, 0, 0), kWritable);
  // The peer's FIN is no hang-up: a half-closed peer still listens.
  EXPECT_EQ(readinessOf(Fake::kFilterRead, Fake::kEof, 0), kReadable);
  EXPECT_EQ(readinessOf(Fake::kFilterWrite, Fake::kEof, 0), kWritable | kHangup);
  EXPECT_EQ(readinessOf(Fake::kFilterRead, Fake::kEof, ECONNRESET), kReadable | kError | kHangup);
  EXPECT_EQ(readinessOf(Fake::kFilterWrite, Fake::kEof, EPIPE), kWritable | kError | kHangup);
  EXPECT_EQ(readinessOf(Fake::kFilterRead, Fake::kError, 0), kReadable | kError);
  // fflags of a filter without EV_EOF are no error (NOTE_ flags live there).
  EXPECT_EQ(readinessOf(Fake::kFilterRead, 0, 1), kReadable);
}

TEST("kqueue poller: the two events of a descriptor are merged, others are not mixed in") {
  Fake fake;
  FakePoller poller(fake);
  EXPECT(poller.open().ok());
  Pair one;
  Pair two;
  EXPECT(poller.add(one.ours.get(), Interest::ReadWrite, 1).ok());
  EXPECT(poller.add(two.ours.get(), Interest::ReadWrite, 2).ok());
  fake.state->scripted.push_back({Fake::makeEvent(one.ours.get(), Fake::kFilterWrite, 0, 0),
                                  Fake::makeEvent(two.ours.get(), Fake::kFilterRead, 0, 0),
                                  Fake::makeEvent(0, Fake::kFilterUser, Fake::kClear, 0),
                                  Fake::makeEvent(one.ours.get(), Fake::kFilterRead, Fake::kEof, 0)});
  EXPECT((waitOnce(poller, 0) == Ready{{1, Readiness::kReadable | Readiness::kWritable}, {2, Readiness::kReadable}}));
  // The next wait does not merge into the one before.
  fake.state->scripted.push_back({Fake::makeEvent(one.ours.get(), Fake::kFilterRead, 0, 0)});
  EXPECT((waitOnce(poller, 0) == Ready{{1, Readiness::kReadable}}));
}

TEST("kqueue poller: no more events are asked for than the span holds") {
  Fake fake;
  FakePoller poller(fake);
  EXPECT(poller.open().ok());
  (void)waitOnce(poller, 0, 64);
  (void)waitOnce(poller, 0, 3);
  EXPECT((fake.state->eventCounts == std::vector<int>{64, 3}));
}

TEST("kqueue poller: an event of a removed descriptor is dropped") {
  Fake fake;
  FakePoller poller(fake);
  EXPECT(poller.open().ok());
  Pair pair;
  EXPECT(poller.add(pair.ours.get(), Interest::Read, 1).ok());
  EXPECT(poller.remove(pair.ours.get()).ok());
  fake.state->scripted.push_back({Fake::makeEvent(pair.ours.get(), Fake::kFilterRead, 0, 0)});
  EXPECT(waitOnce(poller, 0).empty());
  fake.state->scripted.push_back({Fake::makeEvent(1'000'000, Fake::kFilterRead, 0, 0)});
  EXPECT(waitOnce(poller, 0).empty());
}

TEST("kqueue poller: a change that fails in part is undone and reported") {
  Fake fake;
  FakePoller poller(fake);
  EXPECT(poller.open().ok());
  Pair pair;
  fake.state->failures[Fake::kFilterWrite] = ENOMEM;
  EXPECT_EQ(codeOf(poller.add(pair.ours.get(), Interest::ReadWrite, 1)), ENOMEM);
  EXPECT(fake.state->registered.empty());
  // Not half-registered: it can be added, and is not known before.
  EXPECT_EQ(codeOf(poller.remove(pair.ours.get())), ENOENT);
  fake.state->failures.clear();
  EXPECT(poller.add(pair.ours.get(), Interest::Read, 1).ok());
  fake.state->failures[Fake::kFilterWrite] = ENOMEM;
  EXPECT_EQ(codeOf(poller.modify(pair.ours.get(), Interest::Write, 2)), ENOMEM);
  EXPECT_EQ(fake.state->registered.size(), size_t{1});
  EXPECT(fake.state->registered.contains({static_cast<uintptr_t>(pair.ours.get()), Fake::kFilterRead}));
  fake.state->failures.clear();
  sendText(pair.theirs.get(), "x");
  EXPECT((waitOnce(poller, kSoonMs) == Ready{{1, Readiness::kReadable}}));
}

TEST("kqueue poller: a change of token alone costs no system call") {
  Fake fake;
  FakePoller poller(fake);
  EXPECT(poller.open().ok());
  Pair pair;
  EXPECT(poller.add(pair.ours.get(), Interest::Read, 1).ok());
  const size_t before = fake.state->changes.size();
  EXPECT(poller.modify(pair.ours.get(), Interest::Read, 2).ok());
  EXPECT_EQ(fake.state->changes.size(), before);
}

}  // namespace gammaloop::test
