// What the poller and socket tests need: connected pairs, one wait as a map, a clock.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "sys/poller.h"
#include "sys/sockets.h"
#include "test.h"

namespace gammaloop::test {

// Long enough for an event that must come, on a machine that is busy with other things.
inline constexpr int kSoonMs = 5000;
// How long an event that must not come is waited for. Not 0: a poller on libuv runs its loop only while it waits.
inline constexpr int kQuietMs = 2;

struct Pair {
  OwnedFd ours;
  OwnedFd theirs;

  Pair() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ours = OwnedFd(ends[0]);
    theirs = OwnedFd(ends[1]);
    for (const int fd : ends) EXPECT_EQ(::fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  }
};

inline void sendText(int fd, std::string_view text) {
  const IoSlice slice{text.data(), text.size()};
  const IoOutcome sent = sendSlices(fd, {&slice, 1});
  EXPECT(sent.kind == IoOutcome::Kind::Ok);
  EXPECT_EQ(sent.bytes, text.size());
}

inline std::string receiveText(int fd) {
  uint8_t bytes[4096];
  const IoOutcome got = receive(fd, bytes);
  if (got.kind != IoOutcome::Kind::Ok) return "";
  return std::string(reinterpret_cast<const char*>(bytes), got.bytes);
}

using Ready = std::map<Token, uint8_t>;

// One wait. Fails the case when a token comes twice: at most one event a descriptor.
inline Ready waitOnce(Poller& poller, int timeoutMs, size_t spanSize = 64) {
  std::vector<ReadyEvent> events(spanSize);
  const Result<size_t> count = poller.wait(events, timeoutMs);
  EXPECT(count.ok());
  Ready ready;
  if (!count) return ready;
  EXPECT(count.value() <= spanSize);
  for (size_t i = 0; i < count.value(); i++) {
    EXPECT(events[i].readiness != 0);
    EXPECT(ready.emplace(events[i].token, events[i].readiness).second);
  }
  return ready;
}

// As waitOnce, for events that must come: goes on after a wait that ended early with nothing.
inline Ready waitForAny(Poller& poller) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kSoonMs);
  Ready ready;
  while (ready.empty() && std::chrono::steady_clock::now() < end) ready = waitOnce(poller, 1000);
  return ready;
}

inline bool has(const Ready& ready, Token token, uint8_t bits) {
  const auto found = ready.find(token);
  return found != ready.end() && (found->second & bits) == bits;
}

inline bool hasAny(const Ready& ready, Token token, uint8_t bits) {
  const auto found = ready.find(token);
  return found != ready.end() && (found->second & bits) != 0;
}

template <typename T>
int codeOf(const Result<T>& result) {
  return result.ok() ? 0 : result.error().code;
}

inline int64_t elapsedMs(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - since).count();
}

// Raises the soft limit of open descriptors as far as `wanted`, if the hard limit lets it.
inline void allowDescriptors(rlim_t wanted) {
  rlimit limit = {};
  EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = std::min(wanted, limit.rlim_max);
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
}

// A TCP connection over loopback; `ours` is the accepted side.
struct TcpPair {
  OwnedFd ours;
  OwnedFd theirs;
};

inline TcpPair makeTcpPair() {
  TcpPair pair;
  Result<OwnedFd> listener = listenTcp("127.0.0.1", 0, {});
  EXPECT(listener.ok());
  if (!listener) return pair;
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  EXPECT_EQ(::getsockname(listener.value().get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  pair.theirs = OwnedFd(::socket(AF_INET, SOCK_STREAM, 0));
  // Blocking until here: loopback completes the handshake against the backlog.
  EXPECT_EQ(::connect(pair.theirs.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::fcntl(pair.theirs.get(), F_SETFL, O_NONBLOCK), 0);
  Result<Accepted> accepted = acceptConnection(listener.value().get());
  EXPECT(accepted.ok());
  if (accepted) pair.ours = std::move(accepted.value().fd);
  return pair;
}

}  // namespace gammaloop::test
