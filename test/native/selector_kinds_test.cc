// Descriptors of all the kinds that Linux has.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "poller_support.h"
#include "selector/selector.h"

namespace gammaloop::test {

namespace {

uint32_t readinessOf(Selector::MakePoller make, int fd, Interest interest) {
  Result<std::unique_ptr<Selector>> selector = Selector::open(make);
  EXPECT(selector.ok() && selector.value()->add(fd, interest).ok());
  ReadyDescriptor ready[4];
  const Result<size_t> count = selector.value()->wait(ready, kQuietMs);
  EXPECT(count.ok());
  return count && count.value() == 1 ? ready[0].readiness : 0;
}

}  // namespace

TEST("selector: eventfds, pipes, ttys and inotify") {
  for (const auto make : {makeEpollPoller, makePollPoller}) {
    const OwnedFd event(::eventfd(0, EFD_NONBLOCK));
    EXPECT_EQ(readinessOf(make, event.get(), Interest::ReadWrite), uint32_t{Readiness::kWritable});
    const uint64_t one = 1;
    EXPECT_EQ(::write(event.get(), &one, sizeof(one)), ssize_t{sizeof(one)});
    EXPECT_EQ(readinessOf(make, event.get(), Interest::Read), uint32_t{Readiness::kReadable});

    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_NONBLOCK), 0);
    const OwnedFd readEnd(ends[0]);
    OwnedFd writeEnd(ends[1]);
    EXPECT_EQ(readinessOf(make, readEnd.get(), Interest::Read), uint32_t{0});
    EXPECT_EQ(readinessOf(make, writeEnd.get(), Interest::Write), uint32_t{Readiness::kWritable});
    writeEnd.close();
    EXPECT(readinessOf(make, readEnd.get(), Interest::Read) & Readiness::kHangup);

    const OwnedFd master(::posix_openpt(O_RDWR | O_NOCTTY));
    EXPECT(::grantpt(master.get()) == 0 && ::unlockpt(master.get()) == 0);
    const OwnedFd slave(::open(::ptsname(master.get()), O_RDWR | O_NOCTTY));
    EXPECT_EQ(readinessOf(make, slave.get(), Interest::Read), uint32_t{0});
    EXPECT_EQ(::write(master.get(), "line\n", 5), ssize_t{5});
    EXPECT_EQ(readinessOf(make, slave.get(), Interest::Read), uint32_t{Readiness::kReadable});

    char folder[] = "/tmp/gammaloop-inotify-XXXXXX";
    EXPECT(::mkdtemp(folder) != nullptr);
    const OwnedFd notify(::inotify_init1(IN_NONBLOCK));
    EXPECT(::inotify_add_watch(notify.get(), folder, IN_CREATE) >= 0);
    EXPECT_EQ(readinessOf(make, notify.get(), Interest::Read), uint32_t{0});
    const std::string file = std::string(folder) + "/new";
    OwnedFd(::open(file.c_str(), O_CREAT | O_WRONLY, 0600)).close();
    EXPECT_EQ(readinessOf(make, notify.get(), Interest::Read), uint32_t{Readiness::kReadable});
    ::unlink(file.c_str());
    ::rmdir(folder);
  }
}

}  // namespace gammaloop::test
