// The contract of selector/selector.h as test cases, registered for every poller that this machine can run
// (selector_test.cc for epoll and poll; uv_poller_addon.cc, inside node, for libuv).
#pragma once

#include <stdlib.h>

#include <thread>

#include "poller_support.h"
#include "selector/selector.h"

namespace gammaloop::test {

class SelectorContract {
 public:
  SelectorContract(std::string name, Selector::MakePoller make) : name_(std::move(name)), make_(make) {}

  void registerAll() {
    add("tells descriptor and readiness, level-triggered", [](Selector& selector) {
      Pair pair;
      EXPECT(selector.add(pair.ours.get(), Interest::Read).ok());
      EXPECT(waitOnce(selector, kQuietMs).empty());
      sendText(pair.theirs.get(), "x");
      for (int round = 0; round < 3; round++) {
        EXPECT((waitForAny(selector) == Told{{pair.ours.get(), Readiness::kReadable}}));
      }
      EXPECT(selector.modify(pair.ours.get(), Interest::ReadWrite).ok());
      EXPECT((waitForAny(selector) == Told{{pair.ours.get(), Readiness::kReadable | Readiness::kWritable}}));
      EXPECT(selector.remove(pair.ours.get()).ok());
      EXPECT(waitOnce(selector, kQuietMs).empty());
    });

    add("refuses what it has, what it has not, and what has no readiness", [](Selector& selector) {
      Pair pair;
      EXPECT(selector.add(pair.ours.get(), Interest::Read).ok());
      EXPECT_EQ(codeOf(selector.add(pair.ours.get(), Interest::Read)), EEXIST);
      EXPECT_EQ(codeOf(selector.modify(pair.theirs.get(), Interest::Read)), ENOENT);
      EXPECT_EQ(codeOf(selector.remove(pair.theirs.get())), ENOENT);
      EXPECT_EQ(codeOf(selector.add(9999, Interest::Read)), EBADF);
      char path[] = "/tmp/gammaloop-selector-XXXXXX";
      const OwnedFd file(::mkstemp(path));
      ::unlink(path);
      EXPECT_EQ(codeOf(selector.add(file.get(), Interest::Read)), EPERM);
    });

    add("what was asked for comes with an error or a hang-up, too", [](Selector& selector) {
      int ends[2];
      EXPECT_EQ(::pipe(ends), 0);
      const OwnedFd readEnd(ends[0]);
      OwnedFd writeEnd(ends[1]);
      EXPECT(selector.add(readEnd.get(), Interest::Read).ok());
      writeEnd.close();
      EXPECT(waitForAny(selector)[readEnd.get()] & Readiness::kReadable);
      EXPECT(selector.remove(readEnd.get()).ok());

      EXPECT_EQ(::pipe(ends), 0);
      OwnedFd reader(ends[0]);
      const OwnedFd writer(ends[1]);
      EXPECT(selector.add(writer.get(), Interest::Write).ok());
      reader.close();
      EXPECT_EQ(waitForAny(selector)[writer.get()] & (Readiness::kWritable | Readiness::kError),
                uint32_t{Readiness::kWritable | Readiness::kError});
    });

    add("one open file under two descriptors: each is told, and either can go", [](Selector& selector) {
      Pair pair;
      const int number = pair.ours.get();
      const OwnedFd copy(::dup(number));
      EXPECT(selector.add(number, Interest::Read).ok());
      EXPECT(selector.add(copy.get(), Interest::Read).ok());
      sendText(pair.theirs.get(), "x");
      EXPECT((waitForAny(selector) == Told{{number, Readiness::kReadable}, {copy.get(), Readiness::kReadable}}));
      EXPECT(selector.remove(number).ok());
      pair.ours.close();
      EXPECT((waitForAny(selector) == Told{{copy.get(), Readiness::kReadable}}));
    });

    add("a descriptor closed behind its back is told once, and forgotten", [](Selector& selector) {
      Pair pair;
      const int number = pair.ours.get();
      EXPECT(selector.add(number, Interest::Read).ok());
      pair.ours.close();
      EXPECT((waitForAny(selector) == Told{{number, Selector::kClosed}}));
      EXPECT(waitOnce(selector, 0).empty());
      EXPECT_EQ(codeOf(selector.remove(number)), ENOENT);
    });

    add("one that is open elsewhere is no reason to spin", [](Selector& selector) {
      Pair pair;
      const int number = pair.ours.get();
      EXPECT(selector.add(number, Interest::Read).ok());
      const OwnedFd elsewhere(::dup(number));
      sendText(pair.theirs.get(), "x");
      pair.ours.close();
      Told told;
      // At most so many reports of what nobody can read.
      for (uint32_t round = 0; round <= Selector::kReportsPerCheck && !told.contains(number); round++) {
        Told next = waitForAny(selector);
        if (next[number] == Selector::kClosed) told = next;
      }
      EXPECT((told == Told{{number, Selector::kClosed}}));
      EXPECT(waitOnce(selector, kQuietMs).empty());
      Pair other;
      EXPECT(selector.add(other.ours.get(), Interest::Read).ok());
      EXPECT(waitOnce(selector, kQuietMs).empty());
      sendText(other.theirs.get(), "y");
      EXPECT((waitForAny(selector) == Told{{other.ours.get(), Readiness::kReadable}}));
    });

    add("another file under the same number is not what was registered", [](Selector& selector) {
      Pair pair;
      Pair other;
      const int number = pair.ours.get();
      EXPECT(selector.add(number, Interest::Read).ok());
      EXPECT_EQ(::dup2(other.ours.get(), number), number);
      EXPECT_EQ(codeOf(selector.modify(number, Interest::Write)), EBADF);
      EXPECT((waitForAny(selector) == Told{{number, Selector::kClosed}}));
      EXPECT(selector.add(number, Interest::Write).ok());
      EXPECT((waitForAny(selector) == Told{{number, Readiness::kWritable}}));
    });

    add("closed first and removed after: the number can be registered anew", [](Selector& selector) {
      Pair pair;
      const int number = pair.ours.get();
      EXPECT(selector.add(number, Interest::Read).ok());
      const OwnedFd elsewhere(::dup(number));
      sendText(pair.theirs.get(), "x");
      pair.ours.close();
      EXPECT(selector.remove(number).ok());
      Pair other;
      EXPECT_EQ(::dup2(other.ours.get(), number), number);
      const OwnedFd again(number);
      EXPECT(selector.add(number, Interest::Read).ok());
      EXPECT(waitOnce(selector, kQuietMs).empty());
      EXPECT(waitOnce(selector, kQuietMs).empty());
      sendText(other.theirs.get(), "y");
      EXPECT((waitForAny(selector) == Told{{number, Readiness::kReadable}}));
    });

    add("wake() ends a wait of another thread; many are one", [](Selector& selector) {
      std::thread waker([&selector] {
        for (int i = 0; i < 3; i++) EXPECT(Selector::wake(selector.id()));
      });
      EXPECT(waitOnce(selector, kSoonMs).empty());
      waker.join();
      EXPECT(selector.wasWoken());
      waitOnce(selector, 0);
      EXPECT(waitOnce(selector, kQuietMs).empty());
      EXPECT(!selector.wasWoken());
    });

    add("a wake-up before the wait is not lost", [](Selector& selector) {
      Pair pair;
      selector.wake();
      EXPECT(selector.add(pair.ours.get(), Interest::Read).ok());
      EXPECT(waitOnce(selector, kSoonMs).empty());
      EXPECT(selector.wasWoken());
    });

    add("waits as long as it is told", [](Selector& selector) {
      const auto begun = std::chrono::steady_clock::now();
      EXPECT(waitOnce(selector, 30).empty());
      EXPECT(std::chrono::steady_clock::now() - begun >= std::chrono::milliseconds(28));
    });

    add("more is ready than there is room for: every one gets its turn", [](Selector& selector) {
      std::vector<Pair> pairs(20);
      for (const Pair& pair : pairs) {
        EXPECT(selector.add(pair.ours.get(), Interest::Read).ok());
        sendText(pair.theirs.get(), "x");
      }
      for (size_t left = pairs.size(); left > 0;) {
        ReadyDescriptor ready[3];
        const Result<size_t> count = selector.wait(ready, kSoonMs);
        EXPECT(count.ok() && count.value() != 0);
        if (!count || count.value() == 0) return;
        for (size_t i = 0; i < count.value(); i++) {
          EXPECT_EQ(receiveText(static_cast<int>(ready[i].fd)), "x");
          left--;
        }
      }
      EXPECT(waitOnce(selector, kQuietMs).empty());
    });
  }

 private:
  using Told = std::map<int, uint32_t>;

  static Told waitOnce(Selector& selector, int timeoutMs) {
    ReadyDescriptor ready[64];
    const Result<size_t> count = selector.wait(ready, timeoutMs);
    EXPECT(count.ok());
    Told told;
    if (!count) return told;
    for (size_t i = 0; i < count.value(); i++) {
      EXPECT(told.emplace(static_cast<int>(ready[i].fd), ready[i].readiness).second);
    }
    return told;
  }

  static Told waitForAny(Selector& selector) { return waitOnce(selector, kSoonMs); }

  void add(const std::string& what, std::function<void(Selector&)> body) {
    cases().push_back({"selector over " + name_ + ": " + what, [make = make_, body = std::move(body)] {
                         Result<std::unique_ptr<Selector>> selector = Selector::open(make);
                         EXPECT(selector.ok());
                         if (selector) body(*selector.value());
                       }});
  }

  std::string name_;
  Selector::MakePoller make_;
};

}  // namespace gammaloop::test
