// The batches of systems that move datagrams one by one, on whatever system this is.
#include <sys/socket.h>

#include <cerrno>
#include <deque>

namespace {

// What recvmsg and sendmsg give next: 0: they do what they do, else an errno, told once as the system tells of a
// refusal. FreeBSD and macOS tell of one behind the datagrams that came before it, Linux before all of them.
std::deque<int> told;

bool isTold() {
  if (told.empty()) return false;
  errno = told.front();
  told.pop_front();
  return errno != 0;
}

}  // namespace

ssize_t receiveOrFail(int fd, msghdr* header, int flags) { return isTold() ? -1 : ::recvmsg(fd, header, flags); }
ssize_t sendOrFail(int fd, const msghdr* header, int flags) { return isTold() ? -1 : ::sendmsg(fd, header, flags); }

#define recvmsg receiveOrFail
#define sendmsg sendOrFail
#define receiveDatagrams receiveOneByOne
#define sendDatagrams sendOneByOne
#include "../../native/sys/datagram_batch_loop.cc"
#undef receiveDatagrams
#undef sendDatagrams
#undef recvmsg
#undef sendmsg

#include "datagram_contract.h"

namespace gammaloop::test {

namespace {

const bool registered = [] {
  DatagramContract("datagrams, one by one", receiveOneByOne, sendOneByOne).registerAll();
  return true;
}();

}  // namespace

TEST("datagrams, one by one: a refusal that comes behind others is told with them") {
  const OwnedFd from = openOn("127.0.0.1");
  const OwnedFd to = openOn("127.0.0.1");
  std::vector<uint8_t> text(1, 'x');
  const std::vector<Datagram> outgoing(4, {text, nameOf(to), false});
  told = {0, 0, ECONNREFUSED};
  const Moved sent = sendOneByOne(from.get(), outgoing);
  EXPECT_EQ(sent.count, 2u);
  EXPECT_EQ(sent.error.code, ECONNREFUSED);
  EXPECT_EQ(countOf(sendOneByOne(from.get(), std::span(outgoing).subspan(2))), 2u);

  std::vector<std::vector<uint8_t>> rooms(4, std::vector<uint8_t>(8));
  std::vector<Datagram> arrived;
  for (std::vector<uint8_t>& room : rooms) arrived.push_back({room, {}, false});
  told = {0, EINTR, 0, ECONNREFUSED};
  waitFor(to);
  const Moved received = receiveOneByOne(to.get(), arrived);
  EXPECT_EQ(received.count, 2u);
  EXPECT_EQ(received.error.code, ECONNREFUSED);
  EXPECT_EQ(countOf(receiveOneByOne(to.get(), std::span(arrived).subspan(2))), 2u);
  EXPECT_EQ(countOf(receiveOneByOne(to.get(), arrived)), 0u);
  told = {0, ENOBUFS};
  EXPECT_EQ(countOf(sendOneByOne(from.get(), outgoing)), 1u);
  EXPECT(told.empty());
}

}  // namespace gammaloop::test
