// sys/sockets.h against the system: listeners of every kind, their errors, and what send and receive say.
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <csignal>
#include <cstring>

#include "poller_support.h"

namespace gammaloop::test {

namespace {

using Kind = IoOutcome::Kind;

// A folder of its own for unix sockets, removed with what the test left in it.
class Folder {
 public:
  Folder() { EXPECT(::mkdtemp(path_) != nullptr); }
  ~Folder() {
    ::unlink(socketPath().c_str());
    ::rmdir(path_);
  }
  std::string socketPath() const { return std::string(path_) + "/s"; }

 private:
  char path_[32] = "/tmp/gammaloop-socket-XXXXXX";
};

bool isNonBlockingAndCloseOnExec(int fd) {
  return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 && (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

uint16_t portOf(int fd) {
  const Result<Endpoint> local = localEndpoint(fd);
  EXPECT(local.ok());
  return local ? local.value().port : 0;
}

uint16_t peerPortOf(int fd) {
  const Result<Endpoint> peer = peerEndpoint(fd);
  EXPECT(peer.ok());
  return peer ? peer.value().port : 0;
}

// A blocking connect, then non-blocking. Not open when it was refused; errno says why.
OwnedFd connectTo(const sockaddr* address, socklen_t size) {
  OwnedFd fd(::socket(address->sa_family, SOCK_STREAM, 0));
  if (::connect(fd.get(), address, size) != 0) return OwnedFd();
  EXPECT_EQ(::fcntl(fd.get(), F_SETFL, O_NONBLOCK), 0);
  return fd;
}

OwnedFd connectV4(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connectTo(reinterpret_cast<sockaddr*>(&address), sizeof(address));
}

OwnedFd connectV6(uint16_t port) {
  sockaddr_in6 address = {};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port);
  address.sin6_addr = in6addr_loopback;
  return connectTo(reinterpret_cast<sockaddr*>(&address), sizeof(address));
}

OwnedFd connectUnix(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return connectTo(reinterpret_cast<sockaddr*>(&address), sizeof(address));
}

// A machine without IPv6 has no "::1" to bind to; the IPv6 cases then check that this is what is said.
bool hasIpv6() {
  const Result<OwnedFd> listener = listenTcp("::1", 0, {});
  if (listener) return true;
  EXPECT(listener.error().code == EAFNOSUPPORT || listener.error().code == EADDRNOTAVAIL);
  return false;
}

void waitReadable(int fd) {
  pollfd watched{fd, POLLIN, 0};
  EXPECT_EQ(::poll(&watched, 1, kSoonMs), 1);
}

std::string fill(int fd) {
  const std::string block(64 * 1024, 'f');
  std::string sent;
  for (;;) {
    const IoSlice slices[] = {{block.data(), block.size() / 2}, {block.data(), block.size() / 2}};
    const IoOutcome outcome = sendSlices(fd, slices);
    if (outcome.kind == Kind::WouldBlock) return sent;
    EXPECT(outcome.kind == Kind::Ok && outcome.bytes > 0);
    if (outcome.kind != Kind::Ok) return sent;
    sent.append(outcome.bytes, 'f');
  }
}

}  // namespace

TEST("sockets: IPv4 listener, accepted peer, both endpoints") {
  Result<OwnedFd> listener = listenTcp("127.0.0.1", 0, {});
  EXPECT(listener.ok());
  const int fd = listener.value().get();
  EXPECT(isNonBlockingAndCloseOnExec(fd));
  const uint16_t port = portOf(fd);
  EXPECT(port != 0);
  EXPECT_EQ(localEndpoint(fd).value().addressText(), "127.0.0.1");
  EXPECT_EQ(codeOf(acceptConnection(fd)), EAGAIN);

  OwnedFd client = connectV4(port);
  Result<Accepted> accepted = acceptConnection(fd);
  EXPECT(accepted.ok());
  EXPECT(isNonBlockingAndCloseOnExec(accepted.value().fd.get()));
  const Endpoint& peer = accepted.value().peer;
  EXPECT(peer.family == Endpoint::Family::V4);
  EXPECT_EQ(peer.addressText(), "127.0.0.1");
  EXPECT_EQ(peer.port, portOf(client.get()));
  EXPECT_EQ(peerPortOf(client.get()), port);
  EXPECT_EQ(peerPortOf(accepted.value().fd.get()), peer.port);
  EXPECT_EQ(codeOf(peerEndpoint(fd)), ENOTCONN);
}

TEST("sockets: IPv6 listener, and one that is IPv6 only") {
  if (!hasIpv6()) return;
  ListenOptions only;
  only.ipv6Only = true;
  Result<OwnedFd> listener = listenTcp("::", 0, only);
  EXPECT(listener.ok());
  const uint16_t port = portOf(listener.value().get());
  OwnedFd client = connectV6(port);
  Result<Accepted> accepted = acceptConnection(listener.value().get());
  EXPECT(accepted.ok());
  EXPECT(accepted.value().peer.family == Endpoint::Family::V6);
  EXPECT_EQ(accepted.value().peer.addressText(), "::1");
  EXPECT(!connectV4(port).isOpen());
  // The port is free for IPv4 beside it.
  EXPECT(listenTcp("0.0.0.0", port, {}).ok());
}

TEST("sockets: the empty address is both families") {
  Result<OwnedFd> listener = listenTcp("", 0, {});
  EXPECT(listener.ok());
  const uint16_t port = portOf(listener.value().get());
  OwnedFd v4 = connectV4(port);
  EXPECT(v4.isOpen());
  Result<Accepted> first = acceptConnection(listener.value().get());
  EXPECT(first.ok());
  if (!hasIpv6()) {
    EXPECT_EQ(first.value().peer.addressText(), "127.0.0.1");
    return;
  }
  EXPECT_EQ(first.value().peer.addressText(), "::ffff:127.0.0.1");
  OwnedFd v6 = connectV6(port);
  Result<Accepted> second = acceptConnection(listener.value().get());
  EXPECT(second.ok());
  EXPECT_EQ(second.value().peer.addressText(), "::1");
}

TEST("sockets: addresses that are no literals, ports in use, addresses of other machines") {
  for (const char* address :
       {"localhost", "1.2.3", "1.2.3.4.5", "::1::", "127.0.0.1 ", "[::1]", "fe80::1%nosuchinterface", "%", "::1%"}) {
    EXPECT_EQ(codeOf(listenTcp(address, 0, {})), EINVAL);
  }
  EXPECT_EQ(codeOf(listenTcp(std::string("127.0.0.1\0x", 11), 0, {})), EINVAL);
  Result<OwnedFd> listener = listenTcp("127.0.0.1", 0, {});
  const uint16_t port = portOf(listener.value().get());
  const Result<OwnedFd> second = listenTcp("127.0.0.1", port, {});
  EXPECT_EQ(codeOf(second), EADDRINUSE);
  EXPECT_EQ(codeOf(listenTcp("192.0.2.1", 0, {})), EADDRNOTAVAIL);
}

TEST("sockets: a port is free again at once, connections of the old server in TIME_WAIT or not") {
  Result<OwnedFd> listener = listenTcp("127.0.0.1", 0, {});
  const uint16_t port = portOf(listener.value().get());
  OwnedFd client = connectV4(port);
  Result<Accepted> accepted = acceptConnection(listener.value().get());
  accepted.value().fd.close();  // the server's side closes first, and so keeps TIME_WAIT
  waitReadable(client.get());
  client.close();
  listener.value().close();
  EXPECT(listenTcp("127.0.0.1", port, {}).ok());
}

TEST("sockets: two listeners share a port when both ask for it") {
  ListenOptions shared;
  shared.reusePort = true;
  Result<OwnedFd> first = listenTcp("127.0.0.1", 0, shared);
  EXPECT(first.ok());
  const uint16_t port = portOf(first.value().get());
  EXPECT(listenTcp("127.0.0.1", port, shared).ok());
  EXPECT_EQ(codeOf(listenTcp("127.0.0.1", port, {})), EADDRINUSE);
}

TEST("sockets: a unix listener, its path, and what stays when it closes") {
  Folder folder;
  const std::string path = folder.socketPath();
  Result<OwnedFd> listener = listenUnix(path, {});
  EXPECT(listener.ok());
  EXPECT(isNonBlockingAndCloseOnExec(listener.value().get()));
  EXPECT_EQ(localUnixPath(listener.value().get()), path);
  EXPECT(localEndpoint(listener.value().get()).value().family == Endpoint::Family::Unix);
  EXPECT_EQ(codeOf(listenUnix(path, {})), EADDRINUSE);

  OwnedFd client = connectUnix(path);
  Result<Accepted> accepted = acceptConnection(listener.value().get());
  EXPECT(accepted.ok());
  EXPECT(accepted.value().peer.family == Endpoint::Family::Unix);
  EXPECT_EQ(accepted.value().peer.addressText(), "");
  EXPECT_EQ(localUnixPath(client.get()), "");
  sendText(client.get(), "over unix");
  EXPECT_EQ(receiveText(accepted.value().fd.get()), "over unix");

  // A leftover is not replaced, as in node; removing it is the caller's act.
  listener.value().close();
  EXPECT(!connectUnix(path).isOpen());
  EXPECT_EQ(errno, ECONNREFUSED);
  EXPECT_EQ(codeOf(listenUnix(path, {})), EADDRINUSE);
  unlinkUnix(path);
  unlinkUnix(path);
  struct stat status = {};
  EXPECT_EQ(::stat(path.c_str(), &status), -1);
  EXPECT(listenUnix(path, {}).ok());
}

TEST("sockets: unix paths that cannot be") {
  Folder folder;
  EXPECT_EQ(codeOf(listenUnix("", {})), EINVAL);
  EXPECT_EQ(codeOf(listenUnix(folder.socketPath() + std::string(200, 'x'), {})), EINVAL);
  EXPECT_EQ(codeOf(listenUnix(std::string("/tmp/a\0b", 8), {})), EINVAL);
  // A missing folder is EACCES, as in node.
  EXPECT_EQ(codeOf(listenUnix(folder.socketPath() + "/missing/s", {})), EACCES);
  const std::string longest = "/tmp/" + std::string(sizeof(sockaddr_un::sun_path) - 1 - 5, 'g');
  Result<OwnedFd> listener = listenUnix(longest, {});
  EXPECT(listener.ok());
  EXPECT_EQ(localUnixPath(listener.value().get()), longest);
  unlinkUnix(longest);
}

TEST("sockets: adopting a listener") {
  // As socket activation leaves it: blocking, inherited.
  OwnedFd raw(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(raw.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(codeOf(adoptListener(raw.get())), EINVAL);  // bound, but not listening
  EXPECT_EQ(::listen(raw.get(), 16), 0);
  const int number = raw.release();
  Result<OwnedFd> adopted = adoptListener(number);
  EXPECT(adopted.ok());
  EXPECT_EQ(adopted.value().get(), number);
  EXPECT(isNonBlockingAndCloseOnExec(number));
  OwnedFd client = connectV4(portOf(number));
  EXPECT(acceptConnection(number).ok());

  OwnedFd datagram(::socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_EQ(codeOf(adoptListener(datagram.get())), EINVAL);
  Result<OwnedFd> reserve = openReserveFd();
  EXPECT(reserve.ok());
  EXPECT_EQ(codeOf(adoptListener(reserve.value().get())), ENOTSOCK);
  EXPECT_EQ(codeOf(adoptListener(-1)), EBADF);
  // A refused descriptor stays the caller's.
  EXPECT(::fcntl(datagram.get(), F_GETFD) >= 0);
}

TEST("sockets: WouldBlock, bytes, end of stream") {
  TcpPair pair = makeTcpPair();
  uint8_t bytes[16];
  EXPECT(receive(pair.ours.get(), bytes).kind == Kind::WouldBlock);
  EXPECT(receive(pair.ours.get(), {}).kind == Kind::Ok);
  const IoSlice slices[] = {{"one", 3}, {"", 0}, {" two", 4}};
  const IoOutcome sent = sendSlices(pair.theirs.get(), slices);
  EXPECT(sent.kind == Kind::Ok);
  EXPECT_EQ(sent.bytes, size_t{7});
  EXPECT(sendSlices(pair.theirs.get(), {}).kind == Kind::Ok);
  waitReadable(pair.ours.get());
  EXPECT_EQ(receiveText(pair.ours.get()), "one two");
  EXPECT(shutdownWrite(pair.theirs.get()).ok());
  waitReadable(pair.ours.get());
  EXPECT(receive(pair.ours.get(), bytes).kind == Kind::EndOfStream);
  EXPECT(receive(pair.ours.get(), bytes).kind == Kind::EndOfStream);
  sendText(pair.ours.get(), "the other way stays open");
  OwnedFd unconnected(::socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(codeOf(shutdownWrite(unconnected.get())), ENOTCONN);
}

TEST("sockets: partial sends end in WouldBlock, and every byte arrives") {
  TcpPair pair = makeTcpPair();
  const std::string sent = fill(pair.ours.get());
  EXPECT(sent.size() > 0);
  EXPECT(shutdownWrite(pair.ours.get()).ok());
  size_t arrived = 0;
  uint8_t bytes[64 * 1024];
  for (;;) {
    waitReadable(pair.theirs.get());
    const IoOutcome got = receive(pair.theirs.get(), bytes);
    if (got.kind == Kind::EndOfStream) break;
    EXPECT(got.kind == Kind::Ok || got.kind == Kind::WouldBlock);
    if (got.kind == Kind::Failed) break;
    arrived += got.bytes;
  }
  EXPECT_EQ(arrived, sent.size());
}

TEST("sockets: more slices than the limit are sent in part") {
  Pair pair;
  const std::vector<IoSlice> slices(kMaxIoSlices + 10, IoSlice{"x", 1});
  const IoOutcome sent = sendSlices(pair.ours.get(), slices);
  EXPECT(sent.kind == Kind::Ok);
  EXPECT_EQ(sent.bytes, kMaxIoSlices);
}

TEST("sockets: sending to a closed peer is EPIPE without a signal") {
  // The default action of SIGPIPE would end this process.
  struct sigaction byDefault = {};
  struct sigaction before = {};
  byDefault.sa_handler = SIG_DFL;
  EXPECT_EQ(::sigaction(SIGPIPE, &byDefault, &before), 0);
  Pair pair;
  pair.theirs.close();
  const IoSlice slices[] = {{"a", 1}, {"b", 1}};
  for (const size_t count : {size_t{1}, size_t{2}}) {
    const IoOutcome sent = sendSlices(pair.ours.get(), std::span(slices, count));
    EXPECT(sent.kind == Kind::Failed);
    EXPECT_EQ(sent.error.code, EPIPE);
  }
  EXPECT_EQ(::sigaction(SIGPIPE, &before, nullptr), 0);
}

TEST("sockets: reset on close arrives as ECONNRESET") {
  TcpPair pair = makeTcpPair();
  EXPECT(setResetOnClose(pair.theirs.get()).ok());
  pair.theirs.close();
  waitReadable(pair.ours.get());
  uint8_t bytes[8];
  const IoOutcome got = receive(pair.ours.get(), bytes);
  EXPECT(got.kind == Kind::Failed);
  EXPECT_EQ(got.error.code, ECONNRESET);
}

TEST("sockets: no delay") {
  TcpPair pair = makeTcpPair();
  EXPECT(setNoDelay(pair.ours.get(), true).ok());
  EXPECT(setNoDelay(pair.ours.get(), false).ok());
  Pair local;
  EXPECT(!setNoDelay(local.ours.get(), true).ok());
  EXPECT_EQ(codeOf(setNoDelay(-1, true)), EBADF);
}

TEST("sockets: an endpoint's text") {
  Endpoint endpoint;
  EXPECT_EQ(endpoint.addressText(), "");
  endpoint.family = Endpoint::Family::V6;
  endpoint.address[0] = 0xfe;
  endpoint.address[1] = 0x80;
  endpoint.address[15] = 1;
  EXPECT_EQ(endpoint.addressText(), "fe80::1");
  endpoint.scopeId = 4'000'000;  // no such interface: the number
  EXPECT_EQ(endpoint.addressText(), "fe80::1%4000000");
}

TEST("sockets: OwnedFd closes once, and moves") {
  Pair pair;
  const int number = pair.ours.get();
  OwnedFd moved = std::move(pair.ours);
  EXPECT(!pair.ours.isOpen());
  EXPECT_EQ(moved.get(), number);
  OwnedFd other(::dup(number));
  const int second = other.get();
  other = std::move(moved);  // closes what it held
  EXPECT_EQ(other.get(), number);
  EXPECT_EQ(::fcntl(second, F_GETFD), -1);
  other.close();
  other.close();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  errno = EINTR;
  OwnedFd bad(second);
  bad.close();
  EXPECT_EQ(errno, EINTR);  // closing leaves the caller's errno alone
}

}  // namespace gammaloop::test
