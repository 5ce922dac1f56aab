// sys/datagrams.h against the system: the batches of this system, addresses, and what can be set.
#include "datagram_contract.h"

namespace gammaloop::test {

namespace {

const bool registered = [] {
  DatagramContract("datagrams", receiveDatagrams, sendDatagrams).registerAll();
  return true;
}();

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
      EXPECT(setDatagramOption(fd.get(), option, value).ok());
      EXPECT_EQ(datagramOption(fd.get(), option).value(), value);
    }
    for (const DatagramOption option : {DatagramOption::ReceiveBufferBytes, DatagramOption::SendBufferBytes}) {
      EXPECT(setDatagramOption(fd.get(), option, 20'000).ok());
      EXPECT(datagramOption(fd.get(), option).value() >= 20'000);
    }
  }
  EXPECT_EQ(setDatagramOption(-1, DatagramOption::Ttl, 1).error().code, EBADF);
}

TEST("datagrams: groups are joined on an interface, once, and left") {
  const OwnedFd fd = openOn("0.0.0.0");
  const Membership here = {"239.255.0.9", "127.0.0.1", ""};
  EXPECT(joinGroup(fd.get(), here).ok());
  EXPECT_EQ(joinGroup(fd.get(), here).error().code, EADDRINUSE);
  EXPECT(leaveGroup(fd.get(), here).ok());
  EXPECT(!leaveGroup(fd.get(), here).ok());
  const Membership ofOne = {"232.1.1.1", "127.0.0.1", "127.0.0.1"};
  EXPECT(joinGroup(fd.get(), ofOne).ok());
  EXPECT(leaveGroup(fd.get(), ofOne).ok());
  EXPECT(!joinGroup(fd.get(), {"10.0.0.1", "127.0.0.1", ""}).ok());
  EXPECT(setMulticastInterface(fd.get(), "127.0.0.1").ok());
  for (const char* const bad : {"::1", "nonsense"}) {
    EXPECT_EQ(setMulticastInterface(fd.get(), bad).error().code, EINVAL);
    EXPECT_EQ(joinGroup(fd.get(), {"239.255.0.9", bad, ""}).error().code, EINVAL);
    EXPECT_EQ(joinGroup(fd.get(), {"239.255.0.9", "", bad}).error().code, EINVAL);
  }
}

}  // namespace gammaloop::test
