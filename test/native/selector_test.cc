// Selectors over the pollers of this machine, and the thread that waits for those without a descriptor.
#include "selector/waiting_thread.h"
#include "selector_contract.h"

namespace gammaloop::test {

namespace {

[[maybe_unused]] const bool areRegistered = [] {
  if (makeEpollPoller().ok()) SelectorContract("epoll", makeEpollPoller).registerAll();
  if (makeKqueuePoller().ok()) SelectorContract("kqueue", makeKqueuePoller).registerAll();
  SelectorContract("poll", makePollPoller).registerAll();
  return true;
}();

}  // namespace

TEST("selector: one that is gone cannot be woken") {
  Result<std::unique_ptr<Selector>> selector = Selector::open(makePollPoller);
  const uint32_t id = selector.value()->id();
  EXPECT(Selector::wake(id));
  selector.value().reset();
  EXPECT(!Selector::wake(id));
}

TEST("waiting thread: gives the poller back when something is ready, and when it is asked to") {
  Result<std::unique_ptr<Poller>> poller = makePollPoller();
  Pair pair;
  EXPECT(poller.value()->add(pair.ours.get(), Interest::Read, 5).ok());
  std::mutex mutex;
  std::condition_variable changed;
  int returned = 0;
  WaitingThread thread([&] {
    const std::lock_guard lock(mutex);
    returned++;
    changed.notify_all();
  });
  for (int round = 1; round <= 50; round++) {
    thread.lend(*poller.value());
    thread.reclaim();  // most often before the thread waits
    EXPECT_EQ(returned, round - 1);
    thread.lend(*poller.value());
    sendText(pair.theirs.get(), "x");
    {
      std::unique_lock lock(mutex);
      EXPECT(changed.wait_for(lock, std::chrono::milliseconds(kSoonMs), [&] { return returned == round; }));
    }
    thread.reclaim();
    EXPECT((waitForAny(*poller.value()) == Ready{{5, Readiness::kReadable}}));
    EXPECT_EQ(receiveText(pair.ours.get()), "x");
  }
  thread.lend(*poller.value());  // and is stopped while it waits
}

}  // namespace gammaloop::test
