// The poller contract over the pollers of this machine: epoll where there is one, poll, and kqueue's logic on a faked
// kernel (the libuv one runs inside node: uv_poller_addon.cc).
#include "kqueue_fake.h"
#include "poller_contract.h"
#include "sys/kqueue_poller.h"

namespace gammaloop::test {

namespace {

Result<std::unique_ptr<Poller>> makeFakedKqueuePoller() {
  auto poller = std::make_unique<kqueue::KqueuePoller<FakeKqueue>>();
  if (auto opened = poller->open(); !opened) return opened.error();
  return std::unique_ptr<Poller>(std::move(poller));
}

bool registerContracts() {
  // A backend is run where its system call exists; each platform has at least one beside poll.
  if (makeEpollPoller().ok()) {
    PollerContract({"epoll", makeEpollPoller, true, true, true}).registerAll();
  }
  if (makeKqueuePoller().ok()) {
    PollerContract({"kqueue", makeKqueuePoller, true, true, false}).registerAll();
  }
  PollerContract({"poll", makePollPoller, true, false, true}).registerAll();
  PollerContract({"kqueue (faked)", makeFakedKqueuePoller, true, false, false}).registerAll();
  return true;
}

[[maybe_unused]] const bool areRegistered = registerContracts();

}  // namespace

TEST("pollers: each platform has epoll or kqueue, and says ENOSYS for the other") {
  const int epoll = codeOf(makeEpollPoller());
  const int kqueue = codeOf(makeKqueuePoller());
  EXPECT((epoll == 0 && kqueue == ENOSYS) || (epoll == ENOSYS && kqueue == 0));
}

}  // namespace gammaloop::test
