// The batches of sys/datagrams.h as test cases, for each way to move them: the system's call for many, and one call
// each.
#pragma once

#include <poll.h>

#include <cerrno>
#include <string>
#include <vector>

#include "poller_support.h"
#include "sys/datagrams.h"

namespace gammaloop::test {

inline OwnedFd openOn(const char* address) {
  DatagramOptions options;
  options.address = address;
  Result<OwnedFd> fd = openDatagramSocket(options);
  EXPECT(fd.ok());
  return fd ? std::move(fd.value()) : OwnedFd();
}

// SIZE_MAX: there was an error.
inline size_t countOf(const Moved& moved) { return moved.error.code == 0 ? moved.count : SIZE_MAX; }

inline Endpoint nameOf(const OwnedFd& fd) {
  const Result<Endpoint> local = localEndpoint(fd.get());
  return local.value();
}

inline void waitFor(const OwnedFd& fd) {
  pollfd polled = {fd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&polled, 1, 5000), 1);
}

class DatagramContract {
 public:
  using Receive = Moved (*)(int fd, std::span<Datagram> batch);
  using Send = Moved (*)(int fd, std::span<const Datagram> batch);

  DatagramContract(std::string name, Receive receive, Send send)
      : name_(std::move(name)), receive_(receive), send_(send) {}

  void registerAll() const {
    cases().push_back({name_ + ": go in batches and come in batches", [it = *this] { it.goInBatches(); }});
    cases().push_back({name_ + ": one that is longer than the room is cut", [it = *this] { it.areCut(); }});
    cases().push_back({name_ + ": a connected socket hears of refusals", [it = *this] { it.areRefused(); }});
    cases().push_back({name_ + ": a batch ends before the one that cannot go", [it = *this] { it.endBefore(); }});
    cases().push_back({name_ + ": what there is no room for waits", [it = *this] { it.waitForRoom(); }});
  }

 private:
  void goInBatches() const {
    const OwnedFd from = openOn("127.0.0.1");
    const OwnedFd to = openOn("127.0.0.1");
    std::vector<std::vector<uint8_t>> texts;
    std::vector<Datagram> batch;
    for (uint8_t i = 0; i < 40; i++) texts.emplace_back(size_t{i}, i);
    for (std::vector<uint8_t>& text : texts) batch.push_back({text, nameOf(to), false});
    EXPECT_EQ(countOf(send_(from.get(), batch)), kMaxDatagrams);
    EXPECT_EQ(countOf(send_(from.get(), std::span(batch).subspan(kMaxDatagrams))), 40 - kMaxDatagrams);
    size_t seen = 0;
    while (seen < 40) {
      waitFor(to);
      std::vector<std::vector<uint8_t>> rooms(kMaxDatagrams, std::vector<uint8_t>(64));
      std::vector<Datagram> arrived;
      for (std::vector<uint8_t>& room : rooms) arrived.push_back({room, {}, false});
      const Moved moved = receive_(to.get(), arrived);
      EXPECT(moved.error.code == 0 && moved.count > 0);
      if (moved.count == 0) return;
      for (size_t i = 0; i < moved.count; i++, seen++) {
        EXPECT_EQ(arrived[i].bytes.size(), seen);
        for (const uint8_t byte : arrived[i].bytes) EXPECT_EQ(byte, seen);
        EXPECT_EQ(arrived[i].peer.port, nameOf(from).port);
        EXPECT_EQ(arrived[i].peer.addressText(), "127.0.0.1");
        EXPECT(!arrived[i].truncated);
      }
    }
    std::vector<uint8_t> room(8);
    Datagram none = {room, {}, false};
    EXPECT_EQ(countOf(receive_(to.get(), std::span(&none, 1))), 0u);
  }

  void areCut() const {
    const OwnedFd from = openOn("127.0.0.1");
    const OwnedFd to = openOn("127.0.0.1");
    std::vector<uint8_t> text(100, 'x');
    const Datagram sent = {text, nameOf(to), false};
    EXPECT_EQ(countOf(send_(from.get(), std::span(&sent, 1))), 1u);
    waitFor(to);
    std::vector<uint8_t> room(10);
    Datagram arrived = {room, {}, false};
    EXPECT_EQ(countOf(receive_(to.get(), std::span(&arrived, 1))), 1u);
    EXPECT_EQ(arrived.bytes.size(), 10u);
    EXPECT(arrived.truncated);
  }

  void areRefused() const {
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
    EXPECT_EQ(countOf(send_(fd.value().get(), std::span(&sent, 1))), 1u);
    waitFor(fd.value());
    Datagram arrived = {text, {}, false};
    const Moved refused = receive_(fd.value().get(), std::span(&arrived, 1));
    EXPECT_EQ(refused.count, 0u);
    EXPECT_EQ(refused.error.code, ECONNREFUSED);
  }

  void endBefore() const {
    const OwnedFd from = openOn("127.0.0.1");
    const OwnedFd to = openOn("127.0.0.1");
    std::vector<uint8_t> text(1, 'x');
    std::vector<uint8_t> tooLong(70'000, 'x');
    const std::vector<Datagram> batch = {
        {text, nameOf(to), false}, {tooLong, nameOf(to), false}, {text, nameOf(to), false}};
    const Moved first = send_(from.get(), batch);
    EXPECT_EQ(first.count, 1u);
    EXPECT(first.error.code == 0 || first.error.code == EMSGSIZE);
    const Moved refused = send_(from.get(), std::span(batch).subspan(1));
    EXPECT_EQ(refused.count, 0u);
    EXPECT_EQ(refused.error.code, EMSGSIZE);
    EXPECT_EQ(countOf(send_(from.get(), std::span(batch).subspan(2))), 1u);
  }

  // A unix socket has room for a few, and says so; what UDP has no room for the system drops.
  void waitForRoom() const {
    int both[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM, 0, both), 0);
    const OwnedFd from(both[0]);
    const OwnedFd to(both[1]);
    std::vector<uint8_t> text(1000, 'x');
    const std::vector<Datagram> batch(kMaxDatagrams, {text, {}, false});
    size_t sent = 0;
    size_t last = 1;
    while (last != 0 && sent < 100'000) {
      last = countOf(send_(from.get(), batch));
      sent += last;
    }
    EXPECT(last == 0 && sent > 0);
    std::vector<uint8_t> room(2000);
    size_t received = 0;
    for (Datagram arrived = {room, {}, false}; countOf(receive_(to.get(), std::span(&arrived, 1))) == 1;
         arrived.bytes = room) {
      EXPECT_EQ(arrived.bytes.size(), 1000u);
      received++;
    }
    EXPECT_EQ(received, sent);
  }

  std::string name_;
  Receive receive_;
  Send send_;
};

}  // namespace gammaloop::test
