// The contract of sys/poller.h as test cases: one body, registered for every poller that this machine can run
// (poller_test.cc for epoll, poll and kqueue's logic on a faked kernel; uv_poller_addon.cc, inside node, for libuv).
#pragma once

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <thread>

#include "poller_support.h"

namespace gammaloop::test {

struct PollerUnderTest {
  std::string name;
  std::function<Result<std::unique_ptr<Poller>>()> make;
  // libuv goes on waiting after a signal; the system calls return.
  bool returnsOnSignal = true;
  // backendFd() is a descriptor that another poller can watch.
  bool hasBackendFd = false;
  // The kernel reports errors and hang-ups without being asked for reading or writing.
  bool reportsResetWithoutInterest = false;
};

class PollerContract {
 public:
  explicit PollerContract(PollerUnderTest subject) : subject_(std::make_shared<PollerUnderTest>(std::move(subject))) {}

  void registerAll() {
    add("reports what can be read, level-triggered", [](Poller& poller) {
      Pair pair;
      EXPECT(poller.add(pair.ours.get(), Interest::Read, 7).ok());
      EXPECT(waitOnce(poller, kQuietMs).empty());
      sendText(pair.theirs.get(), "abc");
      for (int round = 0; round < 3; round++) EXPECT((waitForAny(poller) == Ready{{7, Readiness::kReadable}}));
      EXPECT_EQ(receiveText(pair.ours.get()), "abc");
      EXPECT(waitOnce(poller, kQuietMs).empty());
      sendText(pair.theirs.get(), "d");
      EXPECT((waitForAny(poller) == Ready{{7, Readiness::kReadable}}));
    });

    add("merges reading and writing into one event", [](Poller& poller) {
      Pair pair;
      sendText(pair.theirs.get(), "x");
      EXPECT(poller.add(pair.ours.get(), Interest::ReadWrite, 1).ok());
      EXPECT((waitForAny(poller) == Ready{{1, Readiness::kReadable | Readiness::kWritable}}));
      EXPECT((waitForAny(poller) == Ready{{1, Readiness::kReadable | Readiness::kWritable}}));
      EXPECT_EQ(receiveText(pair.ours.get()), "x");
      EXPECT((waitForAny(poller) == Ready{{1, Readiness::kWritable}}));
    });

    add("write interest waits for room", [](Poller& poller) {
      Pair pair;
      const std::string block(64 * 1024, 'w');
      const IoSlice slice{block.data(), block.size()};
      while (sendSlices(pair.ours.get(), {&slice, 1}).kind == IoOutcome::Kind::Ok) {
      }
      EXPECT(poller.add(pair.ours.get(), Interest::Write, 3).ok());
      EXPECT(waitOnce(poller, kQuietMs).empty());
      while (!receiveText(pair.theirs.get()).empty()) {
      }
      EXPECT((waitForAny(poller) == Ready{{3, Readiness::kWritable}}));
    });

    add("modify changes interest and token, and re-arms", [](Poller& poller) {
      Pair pair;
      sendText(pair.theirs.get(), "x");
      EXPECT(poller.add(pair.ours.get(), Interest::Read, 10).ok());
      EXPECT((waitForAny(poller) == Ready{{10, Readiness::kReadable}}));
      EXPECT(poller.modify(pair.ours.get(), Interest::Write, 11).ok());
      EXPECT((waitForAny(poller) == Ready{{11, Readiness::kWritable}}));
      EXPECT(poller.modify(pair.ours.get(), Interest::ReadWrite, 12).ok());
      EXPECT((waitForAny(poller) == Ready{{12, Readiness::kReadable | Readiness::kWritable}}));
      // The token alone.
      EXPECT(poller.modify(pair.ours.get(), Interest::ReadWrite, ~Token{0} - 1).ok());
      EXPECT((waitForAny(poller) == Ready{{~Token{0} - 1, Readiness::kReadable | Readiness::kWritable}}));
    });

    add("no interest is silent, and keeps the registration", [](Poller& poller) {
      Pair pair;
      sendText(pair.theirs.get(), "x");
      EXPECT(poller.add(pair.ours.get(), Interest::None, 5).ok());
      EXPECT(waitOnce(poller, kQuietMs).empty());
      EXPECT_EQ(codeOf(poller.add(pair.ours.get(), Interest::Read, 5)), EEXIST);
      EXPECT(poller.modify(pair.ours.get(), Interest::Read, 5).ok());
      EXPECT((waitForAny(poller) == Ready{{5, Readiness::kReadable}}));
      EXPECT(poller.modify(pair.ours.get(), Interest::None, 5).ok());
      EXPECT(waitOnce(poller, kQuietMs).empty());
      EXPECT(poller.remove(pair.ours.get()).ok());
    });

    add("errors: EEXIST, ENOENT, EPERM, EBADF", [](Poller& poller) {
      Pair pair;
      EXPECT_EQ(codeOf(poller.modify(pair.ours.get(), Interest::Read, 1)), ENOENT);
      EXPECT_EQ(codeOf(poller.remove(pair.ours.get())), ENOENT);
      EXPECT(poller.add(pair.ours.get(), Interest::Read, 1).ok());
      EXPECT_EQ(codeOf(poller.add(pair.ours.get(), Interest::Read, 2)), EEXIST);
      EXPECT(poller.remove(pair.ours.get()).ok());
      EXPECT_EQ(codeOf(poller.remove(pair.ours.get())), ENOENT);
      EXPECT_EQ(codeOf(poller.modify(pair.ours.get(), Interest::Read, 1)), ENOENT);
      char path[] = "/tmp/gammaloop-poller-XXXXXX";
      OwnedFd file(::mkstemp(path));
      EXPECT(file.isOpen());
      EXPECT_EQ(codeOf(poller.add(file.get(), Interest::Read, 1)), EPERM);
      ::unlink(path);
      Pair closed;
      const int number = closed.ours.get();
      closed.ours.close();
      EXPECT_EQ(codeOf(poller.add(number, Interest::Read, 1)), EBADF);
      EXPECT_EQ(codeOf(poller.add(-1, Interest::Read, 1)), EBADF);
    });

    add("nothing comes after remove, and a reused number has its new token only", [](Poller& poller) {
      auto first = std::make_unique<Pair>();
      const int number = first->ours.get();
      sendText(first->theirs.get(), "old");
      EXPECT(poller.add(number, Interest::Read, 100).ok());
      EXPECT((waitForAny(poller) == Ready{{100, Readiness::kReadable}}));
      EXPECT(poller.remove(number).ok());
      EXPECT(waitOnce(poller, kQuietMs).empty());
      first.reset();
      Pair second;
      EXPECT_EQ(::dup2(second.ours.get(), number), number);
      OwnedFd reused(number == second.ours.get() ? second.ours.release() : number);
      EXPECT(poller.add(number, Interest::Read, 101).ok());
      EXPECT(waitOnce(poller, kQuietMs).empty());
      sendText(second.theirs.get(), "new");
      EXPECT((waitForAny(poller) == Ready{{101, Readiness::kReadable}}));
      EXPECT(poller.remove(number).ok());
      // The token of one that is gone can be given to another descriptor.
      Pair third;
      sendText(third.theirs.get(), "y");
      EXPECT(poller.add(third.ours.get(), Interest::Read, 101).ok());
      EXPECT((waitForAny(poller) == Ready{{101, Readiness::kReadable}}));
    });

    add("add, remove and add again before any wait", [](Poller& poller) {
      Pair pair;
      sendText(pair.theirs.get(), "x");
      EXPECT(poller.add(pair.ours.get(), Interest::Read, 1).ok());
      EXPECT(poller.remove(pair.ours.get()).ok());
      EXPECT(poller.add(pair.ours.get(), Interest::Read, 2).ok());
      EXPECT((waitForAny(poller) == Ready{{2, Readiness::kReadable}}));
    });

    registerHangUps();
    registerTime();
    registerWakes();
    registerMany();
  }

 private:
  void registerHangUps() {
    add("the peer's close is readable and reads as the end", [](Poller& poller) {
      Pair pair;
      EXPECT(poller.add(pair.ours.get(), Interest::Read, 4).ok());
      pair.theirs.close();
      EXPECT(hasAny(waitForAny(poller), 4, Readiness::kReadable | Readiness::kHangup));
      EXPECT(hasAny(waitForAny(poller), 4, Readiness::kReadable | Readiness::kHangup));
      uint8_t bytes[8];
      EXPECT(receive(pair.ours.get(), bytes).kind == IoOutcome::Kind::EndOfStream);
    });

    add("a half-close is readable, and no hang-up", [](Poller& poller) {
      TcpPair pair = makeTcpPair();
      EXPECT(poller.add(pair.ours.get(), Interest::Read, 4).ok());
      EXPECT(shutdownWrite(pair.theirs.get()).ok());
      EXPECT((waitForAny(poller) == Ready{{4, Readiness::kReadable}}));
      sendText(pair.ours.get(), "still heard");
    });

    add("a reset connection is reported, and again until it is removed", [](Poller& poller) {
      TcpPair pair = makeTcpPair();
      EXPECT(poller.add(pair.ours.get(), Interest::Read, 4).ok());
      EXPECT(setResetOnClose(pair.theirs.get()).ok());
      pair.theirs.close();
      for (int round = 0; round < 3; round++) {
        EXPECT(hasAny(waitForAny(poller), 4, Readiness::kReadable | Readiness::kError | Readiness::kHangup));
      }
      uint8_t bytes[8];
      const IoOutcome got = receive(pair.ours.get(), bytes);
      EXPECT(got.kind == IoOutcome::Kind::Failed);
      EXPECT_EQ(got.error.code, ECONNRESET);
      EXPECT(poller.remove(pair.ours.get()).ok());
      EXPECT(waitOnce(poller, kQuietMs).empty());
    });

    add("a pipe that nobody reads any more is reported to its writer", [](Poller& poller) {
      int ends[2];
      EXPECT_EQ(::pipe(ends), 0);
      OwnedFd reader(ends[0]);
      OwnedFd writer(ends[1]);
      EXPECT(poller.add(writer.get(), Interest::Write, 9).ok());
      EXPECT((waitForAny(poller) == Ready{{9, Readiness::kWritable}}));
      reader.close();
      for (int round = 0; round < 2; round++) {
        EXPECT(hasAny(waitForAny(poller), 9, Readiness::kError | Readiness::kHangup));
      }
      EXPECT(poller.remove(writer.get()).ok());
    });

    if (!subject_->reportsResetWithoutInterest) return;
    add("a reset comes through without interest", [](Poller& poller) {
      TcpPair pair = makeTcpPair();
      EXPECT(poller.add(pair.ours.get(), Interest::None, 4).ok());
      EXPECT(setResetOnClose(pair.theirs.get()).ok());
      pair.theirs.close();
      EXPECT(hasAny(waitForAny(poller), 4, Readiness::kError | Readiness::kHangup));
    });
  }

  void registerTime() {
    add("a wait ends with its time", [](Poller& poller) {
      Pair pair;
      EXPECT(poller.add(pair.ours.get(), Interest::Read, 1).ok());
      const auto start = std::chrono::steady_clock::now();
      EXPECT(waitOnce(poller, 30).empty());
      EXPECT(elapsedMs(start) >= 29);
      const auto second = std::chrono::steady_clock::now();
      EXPECT(waitOnce(poller, 0).empty());
      EXPECT(elapsedMs(second) < kSoonMs);
    });

    if (!subject_->returnsOnSignal) return;
    add("a signal ends a wait with nothing", [](Poller& poller) {
      struct sigaction quiet = {};
      struct sigaction before = {};
      quiet.sa_handler = [](int) {};
      EXPECT_EQ(::sigaction(SIGUSR1, &quiet, &before), 0);
      std::atomic<bool> isOver{false};
      const pthread_t waiter = ::pthread_self();
      // Again and again, since nobody can see from outside whether the wait has begun.
      std::thread sender([&] {
        while (!isOver.load()) {
          ::pthread_kill(waiter, SIGUSR1);
          std::this_thread::yield();
        }
      });
      const auto start = std::chrono::steady_clock::now();
      EXPECT(waitOnce(poller, 60'000).empty());
      EXPECT(elapsedMs(start) < 30'000);
      isOver = true;
      sender.join();
      EXPECT_EQ(::sigaction(SIGUSR1, &before, nullptr), 0);
    });
  }

  void registerWakes() {
    add("many wake-ups before a wait make one return", [](Poller& poller) {
      for (int i = 0; i < 1000; i++) poller.wake();
      const auto start = std::chrono::steady_clock::now();
      EXPECT(waitOnce(poller, 60'000).empty());
      EXPECT(elapsedMs(start) < 30'000);
      const auto second = std::chrono::steady_clock::now();
      EXPECT(waitOnce(poller, 30).empty());
      EXPECT(elapsedMs(second) >= 29);
    });

    add("another thread ends a wait that has no end, every time", [](Poller& poller) {
      for (int round = 0; round < 50; round++) {
        std::thread other([&] { poller.wake(); });
        EXPECT(waitOnce(poller, -1).empty());
        other.join();
      }
      // One wake-up, one return: the last one has left nothing behind.
      const auto start = std::chrono::steady_clock::now();
      EXPECT(waitOnce(poller, 30).empty());
      EXPECT(elapsedMs(start) >= 29);
    });

    add("no wake-up is lost between two threads", [](Poller& poller) {
      constexpr int kPerThread = 5000;
      std::atomic<int> posted{0};
      const auto post = [&] {
        for (int i = 0; i < kPerThread; i++) {
          posted.fetch_add(1, std::memory_order_relaxed);
          poller.wake();
        }
      };
      std::thread first(post);
      std::thread second(post);
      const auto start = std::chrono::steady_clock::now();
      // A lost one would leave the last wait to its timeout.
      while (posted.load(std::memory_order_relaxed) < 2 * kPerThread) {
        EXPECT(waitOnce(poller, 60'000).empty());
        if (elapsedMs(start) > 30'000) break;
      }
      EXPECT(elapsedMs(start) < 30'000);
      first.join();
      second.join();
    });

    add("events and a wake-up come in any order, none lost", [](Poller& poller) {
      Pair pair;
      EXPECT(poller.add(pair.ours.get(), Interest::Read, 6).ok());
      sendText(pair.theirs.get(), "x");
      poller.wake();
      EXPECT((waitForAny(poller) == Ready{{6, Readiness::kReadable}}));
      EXPECT((waitForAny(poller) == Ready{{6, Readiness::kReadable}}));
    });

    if (!subject_->hasBackendFd) return;
    add("its own descriptor is readable while there is something to return", [](Poller& poller) {
      const auto isReadable = [&] {
        pollfd watched{poller.backendFd(), POLLIN, 0};
        return ::poll(&watched, 1, 0) == 1;
      };
      Pair pair;
      EXPECT(poller.backendFd() >= 0);
      EXPECT(poller.add(pair.ours.get(), Interest::Read, 6).ok());
      EXPECT(!isReadable());
      sendText(pair.theirs.get(), "x");
      EXPECT(isReadable());
      EXPECT_EQ(receiveText(pair.ours.get()), "x");
      EXPECT(!isReadable());
      poller.wake();
      EXPECT(isReadable());
      EXPECT(waitOnce(poller, 0).empty());
      EXPECT(!isReadable());
    });
  }

  void registerMany() {
    add("2000 descriptors, ready at once, each told once", [](Poller& poller) {
      constexpr size_t kCount = 2000;
      allowDescriptors(2 * kCount + 200);
      std::vector<Pair> pairs(kCount);
      for (size_t i = 0; i < kCount; i++) EXPECT(poller.add(pairs[i].ours.get(), Interest::Read, i).ok());
      EXPECT(waitOnce(poller, kQuietMs).empty());
      for (Pair& pair : pairs) sendText(pair.theirs.get(), "x");
      Ready all;
      while (all.size() < kCount) {
        const Ready some = waitOnce(poller, kSoonMs, kCount);
        if (some.empty()) break;
        for (const auto& [token, readiness] : some) {
          EXPECT_EQ(receiveText(pairs[token].ours.get()), "x");
          EXPECT(all.emplace(token, readiness).second);
        }
      }
      EXPECT_EQ(all.size(), kCount);
      EXPECT(waitOnce(poller, kQuietMs, kCount).empty());
      for (Pair& pair : pairs) EXPECT(poller.remove(pair.ours.get()).ok());
    });

    add("a span smaller than the ready set loses nothing", [](Poller& poller) {
      constexpr size_t kCount = 100;
      std::vector<Pair> pairs(kCount);
      for (size_t i = 0; i < kCount; i++) {
        sendText(pairs[i].theirs.get(), "x");
        EXPECT(poller.add(pairs[i].ours.get(), Interest::ReadWrite, i).ok());
      }
      // Nothing is read meanwhile, so all stay ready: each must get its turn all the same.
      std::set<Token> readable;
      for (int round = 0; round < 400 && readable.size() < kCount; round++) {
        for (const auto& [token, readiness] : waitOnce(poller, kSoonMs, 7)) {
          if (readiness & Readiness::kReadable) readable.insert(token);
        }
      }
      EXPECT_EQ(readable.size(), kCount);
      poller.wake();
      EXPECT_EQ(waitOnce(poller, kSoonMs, 200).size() <= kCount, true);
    });

    add("what it watches is not its own: it closes no descriptor", [this_ = subject_](Poller&) {
      Pair pair;
      {
        Result<std::unique_ptr<Poller>> other = this_->make();
        EXPECT(other.ok());
        if (!other) return;
        EXPECT(other.value()->add(pair.ours.get(), Interest::ReadWrite, 1).ok());
        EXPECT(has(waitForAny(*other.value()), 1, Readiness::kWritable));
      }
      sendText(pair.ours.get(), "open");
      EXPECT_EQ(receiveText(pair.theirs.get()), "open");
    });
  }

  void add(const std::string& what, std::function<void(Poller&)> body) {
    cases().push_back({subject_->name + " poller: " + what, [subject = subject_, body = std::move(body)] {
                         Result<std::unique_ptr<Poller>> poller = subject->make();
                         EXPECT(poller.ok());
                         if (poller) body(*poller.value());
                       }});
  }

  std::shared_ptr<PollerUnderTest> subject_;
};

}  // namespace gammaloop::test
