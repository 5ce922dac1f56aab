#include "sys/datagrams.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "sys/socket_address.h"
#include "sys/sockets_platform.h"

namespace gammaloop {

namespace {

SysError failure(const char* syscall) { return SysError{syscall, errno}; }

Result<void> setNumber(int fd, int level, int option, int value) {
  if (::setsockopt(fd, level, option, &value, sizeof(value)) != 0) return failure("setsockopt");
  return {};
}

Result<OwnedFd> openSocket(int family) {
  OwnedFd fd(::socket(family, SOCK_DGRAM, 0));
  if (!fd.isOpen()) return failure("socket");
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) return failure("fcntl");
  if (::fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) return failure("fcntl");
  return fd;
}

Result<void> configure(int fd, int family, const DatagramOptions& options) {
  if (family == AF_INET6) {
    if (auto set = setNumber(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6Only ? 1 : 0); !set) return set;
  }
  if (options.reuseAddress) {
    if (auto set = setNumber(fd, SOL_SOCKET, kSharedPortOption, 1); !set) return set;
  }
  if (options.reusePort) {
    if (auto set = setNumber(fd, SOL_SOCKET, kReusePortOption, 1); !set) return set;
  }
  if (options.broadcast) {
    if (auto set = setNumber(fd, SOL_SOCKET, SO_BROADCAST, 1); !set) return set;
  }
  if (options.receiveBufferBytes != 0) {
    const int bytes = static_cast<int>(options.receiveBufferBytes);
    if (auto set = setNumber(fd, SOL_SOCKET, SO_RCVBUF, bytes); !set) return set;
  }
  if (options.sendBufferBytes != 0) {
    return setNumber(fd, SOL_SOCKET, SO_SNDBUF, static_cast<int>(options.sendBufferBytes));
  }
  return {};
}

Result<OwnedFd> openOn(const RawAddress& local, const RawAddress* remote, const DatagramOptions& options) {
  const int family = local.storage.ss_family;
  Result<OwnedFd> fd = openSocket(family);
  if (!fd) return fd;
  if (auto configured = configure(fd.value().get(), family, options); !configured) return configured.error();
  if (::bind(fd.value().get(), local.get(), local.size) != 0) return failure("bind");
  if (remote != nullptr && ::connect(fd.value().get(), remote->get(), remote->size) != 0) return failure("connect");
  return fd;
}

}  // namespace

Result<OwnedFd> openDatagramSocket(const DatagramOptions& options) {
  RawAddress remote;
  const bool isConnected = !options.remoteAddress.empty();
  if (isConnected && !parseLiteral(options.remoteAddress, options.remotePort, remote)) {
    return SysError{"connect", EINVAL};
  }
  const RawAddress* const peer = isConnected ? &remote : nullptr;
  RawAddress local;
  if (!options.address.empty()) {
    if (!parseLiteral(options.address, options.port, local)) return SysError{"bind", EINVAL};
    return openOn(local, peer, options);
  }
  if (!isConnected || remote.storage.ss_family == AF_INET6) {
    parseLiteral("::", options.port, local);
    Result<OwnedFd> dual = openOn(local, peer, options);
    // A machine without IPv6.
    const bool isMissing = !dual && (dual.error().code == EAFNOSUPPORT || dual.error().code == EADDRNOTAVAIL);
    if (!isMissing || isConnected || options.ipv6Only) return dual;
  }
  parseLiteral("0.0.0.0", options.port, local);
  return openOn(local, peer, options);
}

Result<Endpoint> parseEndpoint(const std::string& address, uint16_t port) {
  RawAddress raw;
  if (!parseLiteral(address, port, raw)) return SysError{"inet_pton", EINVAL};
  return toEndpoint(raw);
}

}  // namespace gammaloop
