// sys/datagrams.h against the system: batches, cut datagrams, refusals, and both families.
#include <poll.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "poller_support.h"
#include "sys/datagrams.h"

namespace gammaloop::test {

namespace {

OwnedFd openOn(const char* address) {
  DatagramOptions options;
  options.address = address;
  Result<OwnedFd> fd = openDatagramSocket(options);
  EXPECT(fd.ok());
  return fd ? std::move(fd.value()) : OwnedFd();
}

size_t countOf(Result<size_t> result) { return result ? result.value() : SIZE_MAX; }

Endpoint nameOf(const OwnedFd& fd) {
  const Result<Endpoint> local = localEndpoint(fd.get());
  return local.value();
}

void waitFor(const OwnedFd& fd) {
  pollfd polled = {fd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&polled, 1, 5000), 1);
}

}  // namespace

TEST("datagrams: go in batches and come in batches") {
  const OwnedFd from = openOn("127.0.0.1");
  const OwnedFd to = openOn("127.0.0.1");
  std::vector<std::vector<uint8_t>> texts;
  std::vector<Datagram> batch;
  for (uint8_t i = 0; i < 40; i++) texts.emplace_back(size_t{i}, i);
  for (std::vector<uint8_t>& text : texts) batch.push_back({text, nameOf(to), false});
  const Result<size_t> first = sendDatagrams(from.get(), batch);
  EXPECT_EQ(first.value(), kMaxDatagrams);
  EXPECT_EQ(countOf(sendDatagrams(from.get(), std::span(batch).subspan(first.value()))), 40 - kMaxDatagrams);
  size_t seen = 0;
  while (seen < 40) {
    waitFor(to);
    std::vector<std::vector<uint8_t>> rooms(kMaxDatagrams, std::vector<uint8_t>(64));
    std::vector<Datagram> arrived;
    for (std::vector<uint8_t>& room : rooms) arrived.push_back({room, {}, false});
    const Result<size_t> count = receiveDatagrams(to.get(), arrived);
    EXPECT(count.ok() && count.value() > 0);
    if (!count || count.value() == 0) return;
    for (size_t i = 0; i < count.value(); i++, seen++) {
      EXPECT_EQ(arrived[i].bytes.size(), seen);
      for (const uint8_t byte : arrived[i].bytes) EXPECT_EQ(byte, seen);
      EXPECT_EQ(arrived[i].peer.port, nameOf(from).port);
      EXPECT_EQ(arrived[i].peer.addressText(), "127.0.0.1");
      EXPECT(!arrived[i].truncated);
    }
  }
  std::vector<uint8_t> room(8);
  Datagram none = {room, {}, false};
  EXPECT_EQ(countOf(receiveDatagrams(to.get(), std::span(&none, 1))), 0u);
}

TEST("datagrams: one that is longer than the room is cut") {
  const OwnedFd from = openOn("127.0.0.1");
  const OwnedFd to = openOn("127.0.0.1");
  std::vector<uint8_t> text(100, 'x');
  const Datagram sent = {text, nameOf(to), false};
  EXPECT_EQ(countOf(sendDatagrams(from.get(), std::span(&sent, 1))), 1u);
  waitFor(to);
  std::vector<uint8_t> room(10);
  Datagram arrived = {room, {}, false};
  EXPECT_EQ(countOf(receiveDatagrams(to.get(), std::span(&arrived, 1))), 1u);
  EXPECT_EQ(arrived.bytes.size(), 10u);
  EXPECT(arrived.truncated);
}

TEST("datagrams: a connected socket hears of refusals") {
  uint16_t port = 0;
  {
    const OwnedFd gone = openOn("127.0.0.1");
    port = nameOf(gone).port;
  }
  DatagramOptions options;
  options.remoteAddress = "127.0.0.1";
  options.remotePort = port;
  const Result<OwnedFd> fd = openDatagramSocket(options);
  EXPECT(fd.ok());
  const Result<Endpoint> peer = peerEndpoint(fd.value().get());
  EXPECT_EQ(peer.value().port, port);
  std::vector<uint8_t> text(1, 'x');
  const Datagram sent = {text, {}, false};
  EXPECT_EQ(countOf(sendDatagrams(fd.value().get(), std::span(&sent, 1))), 1u);
  waitFor(fd.value());
  Datagram arrived = {text, {}, false};
  const Result<size_t> refused = receiveDatagrams(fd.value().get(), std::span(&arrived, 1));
  EXPECT(!refused.ok());
  EXPECT_EQ(refused.error().code, ECONNREFUSED);
}

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

}  // namespace gammaloop::test
