// sys/datagrams.h against the system: the batches of this system, addresses, and what can be set.
#include "datagram_contract.h"

namespace gammaloop::test {

namespace {

const bool registered = [] {
  DatagramContract("datagrams", receiveDatagrams, sendDatagrams).registerAll();
  return true;
}();

// 0: it was done.
int codeOf(const Result<void>& result) { return result ? 0 : result.error().code; }

int valueOf(const OwnedFd& fd, DatagramOption option) {
  const Result<int> value = datagramOption(fd.get(), option);
  return value ? value.value() : -value.error().code;
}

}  // namespace

TEST("datagrams: addresses are literal and used once") {
  EXPECT(!parseEndpoint("localhost", 1).ok());
  const Result<Endpoint> parsed = parseEndpoint("::1", 7);
  EXPECT_EQ(parsed.value().addressText(), "::1");
  const OwnedFd first = openOn("127.0.0.1");
  DatagramOptions options;
  options.address = "127.0.0.1";
  options.port = nameOf(first).port;
  const Result<OwnedFd> second = openDatagramSocket(options);
  EXPECT(!second.ok());
  EXPECT_EQ(second.error().code, EADDRINUSE);
  options.address = "nowhere";
  const Result<OwnedFd> third = openDatagramSocket(options);
  EXPECT_EQ(third.error().code, EINVAL);
}

TEST("datagrams: options are those of the socket's family") {
  for (const char* const address : {"127.0.0.1", "::1"}) {
    const OwnedFd fd = openOn(address);
    for (const auto& [option, value] :
         {std::pair(DatagramOption::Ttl, 17), std::pair(DatagramOption::MulticastTtl, 3),
          std::pair(DatagramOption::MulticastLoopback, 0), std::pair(DatagramOption::Broadcast, 1)}) {
      EXPECT_EQ(codeOf(setDatagramOption(fd.get(), option, value)), 0);
      EXPECT_EQ(valueOf(fd, option), value);
    }
    for (const DatagramOption option : {DatagramOption::ReceiveBufferBytes, DatagramOption::SendBufferBytes}) {
      EXPECT_EQ(codeOf(setDatagramOption(fd.get(), option, 20'000)), 0);
      EXPECT(valueOf(fd, option) >= 20'000);
    }
  }
  EXPECT_EQ(codeOf(setDatagramOption(-1, DatagramOption::Ttl, 1)), EBADF);
}

TEST("datagrams: groups are joined on an interface, once, and left") {
  const OwnedFd fd = openOn("0.0.0.0");
  const Membership here = {"239.255.0.9", "127.0.0.1", ""};
  EXPECT_EQ(codeOf(joinGroup(fd.get(), here)), 0);
  EXPECT_EQ(codeOf(joinGroup(fd.get(), here)), EADDRINUSE);
  EXPECT_EQ(codeOf(leaveGroup(fd.get(), here)), 0);
  EXPECT(codeOf(leaveGroup(fd.get(), here)) != 0);
  const Membership ofOne = {"232.1.1.1", "127.0.0.1", "127.0.0.1"};
  EXPECT_EQ(codeOf(joinGroup(fd.get(), ofOne)), 0);
  EXPECT_EQ(codeOf(leaveGroup(fd.get(), ofOne)), 0);
  EXPECT(codeOf(joinGroup(fd.get(), {"10.0.0.1", "127.0.0.1", ""})) != 0);
  EXPECT_EQ(codeOf(setMulticastInterface(fd.get(), "127.0.0.1")), 0);
  for (const char* const bad : {"::1", "nonsense"}) {
    EXPECT_EQ(codeOf(setMulticastInterface(fd.get(), bad)), EINVAL);
    EXPECT_EQ(codeOf(joinGroup(fd.get(), {"239.255.0.9", bad, ""})), EINVAL);
    EXPECT_EQ(codeOf(joinGroup(fd.get(), {"239.255.0.9", "", bad})), EINVAL);
  }
}

}  // namespace gammaloop::test
