#include "sys/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "sys/socket_address.h"
#include "sys/sockets_platform.h"

namespace gammaloop {

namespace {

SysError failure(const char* syscall) { return SysError{syscall, errno}; }

bool parsePath(const std::string& path, RawAddress& raw) {
  sockaddr_un named = {};
  named.sun_family = AF_UNIX;
  // A name that starts with NUL is Linux's abstract kind: it has no file, and its length is part of the name.
  const bool isAbstract = !path.empty() && path[0] == '\0';
  const bool hasInnerNul = !isAbstract && path.find('\0') != std::string::npos;
  if (path.empty() || hasInnerNul || path.size() >= sizeof(named.sun_path)) return false;
  std::memcpy(named.sun_path, path.data(), path.size());
  std::memcpy(&raw.storage, &named, sizeof(named));
  raw.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (isAbstract ? 0 : 1));
  return true;
}

Result<void> setNumber(int fd, int level, int option, int value) {
  if (::setsockopt(fd, level, option, &value, sizeof(value)) != 0) return failure("setsockopt");
  return {};
}

Result<void> setFlag(int fd, int level, int option, bool enabled) {
  return setNumber(fd, level, option, enabled ? 1 : 0);
}

Result<OwnedFd> bindAndListen(OwnedFd fd, const RawAddress& raw, int backlog) {
  if (::bind(fd.get(), raw.get(), raw.size) != 0) return failure("bind");
  if (::listen(fd.get(), backlog) != 0) return failure("listen");
  return fd;
}

Result<OwnedFd> listenOn(const RawAddress& raw, const ListenOptions& options) {
  OwnedFd fd(openStreamSocket(raw.storage.ss_family));
  if (!fd.isOpen()) return failure("socket");
  // As node does: connections of an earlier server in TIME_WAIT must not keep the port.
  if (auto set = setFlag(fd.get(), SOL_SOCKET, SO_REUSEADDR, true); !set) return set.error();
  if (options.reusePort) {
    if (auto set = setFlag(fd.get(), SOL_SOCKET, kReusePortOption, true); !set) return set.error();
  }
  if (raw.storage.ss_family == AF_INET6) {
    // Said in both cases: the systems differ in their default, and it can be configured.
    if (auto set = setFlag(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6Only); !set) return set.error();
  }
  return bindAndListen(std::move(fd), raw, options.backlog);
}

Result<OwnedFd> beginConnect(OwnedFd fd, const RawAddress& remote) {
  // After EINTR the connection goes on being made (POSIX).
  if (::connect(fd.get(), remote.get(), remote.size) != 0 && errno != EINPROGRESS && errno != EINTR)
    return failure("connect");
  return fd;
}

// The errors with which a machine without IPv6 answers to a socket on "::".
bool meansNoIpv6(int code) { return code == EAFNOSUPPORT || code == EADDRNOTAVAIL || code == EPROTONOSUPPORT; }

// Errors of a connection that died in the queue, which accept passes on in the listener's name (accept(2)).
bool isQueuedConnectionError(int code) {
  switch (code) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return true;
    default:
      return false;
  }
}

IoOutcome outcomeOfFailure(const char* syscall, int code) {
  if (code == EAGAIN || code == EWOULDBLOCK) return {IoOutcome::Kind::WouldBlock, 0, {}};
  return {IoOutcome::Kind::Failed, 0, SysError{syscall, code}};
}

Result<int> intOption(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  if (::getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0) return failure("getsockopt");
  return value;
}

Result<void> addFdFlags(int fd) {
  const int descriptorFlags = ::fcntl(fd, F_GETFD);
  if (descriptorFlags < 0 || ::fcntl(fd, F_SETFD, descriptorFlags | FD_CLOEXEC) != 0) return failure("fcntl");
  const int statusFlags = ::fcntl(fd, F_GETFL);
  if (statusFlags < 0 || ::fcntl(fd, F_SETFL, statusFlags | O_NONBLOCK) != 0) return failure("fcntl");
  return {};
}

}  // namespace

OwnedFd& OwnedFd::operator=(OwnedFd&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = other.release();
  }
  return *this;
}

int OwnedFd::release() {
  const int fd = fd_;
  fd_ = -1;
  return fd;
}

void OwnedFd::close() noexcept {
  if (fd_ < 0) return;
  // Never repeated, not even after EINTR: the number may belong to another thread's descriptor by then. The errors of
  // close concern data that nobody waits for any more; errno stays the caller's.
  const int saved = errno;
  (void)::close(release());
  errno = saved;
}

std::string Endpoint::addressText() const {
  char text[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE] = "";
  if (family == Family::V4) {
    ::inet_ntop(AF_INET, address, text, sizeof(text));
  } else if (family == Family::V6) {
    ::inet_ntop(AF_INET6, address, text, sizeof(text));
    const bool isLinkLocal = address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
    if (isLinkLocal && scopeId != 0) {
      char name[IF_NAMESIZE] = "";
      const bool isNamed = ::if_indextoname(scopeId, name) != nullptr;
      return std::string(text) + "%" + (isNamed ? std::string(name) : std::to_string(scopeId));
    }
  }
  return text;
}

Result<OwnedFd> listenTcp(const std::string& address, uint16_t port, const ListenOptions& options) {
  RawAddress raw;
  if (!address.empty()) {
    if (!parseLiteral(address, port, raw)) return SysError{"inet_pton", EINVAL};
    return listenOn(raw, options);
  }
  parseLiteral("::", port, raw);
  Result<OwnedFd> dual = listenOn(raw, options);
  if (dual || options.ipv6Only || !meansNoIpv6(dual.error().code)) return dual;
  RawAddress v4;
  parseLiteral("0.0.0.0", port, v4);
  return listenOn(v4, options);
}

Result<OwnedFd> listenUnix(const std::string& path, const ListenOptions& options) {
  RawAddress raw;
  if (!parsePath(path, raw)) return SysError{"bind", EINVAL};
  OwnedFd fd(openStreamSocket(AF_UNIX));
  if (!fd.isOpen()) return failure("socket");
  // A leftover file gives EADDRINUSE and is not replaced, as in node: whether it is a leftover is the user's to say.
  Result<OwnedFd> listening = bindAndListen(std::move(fd), raw, options.backlog);
  // Node reports a missing folder as EACCES (libuv does so for the sake of Windows).
  if (!listening && listening.error().code == ENOENT) return SysError{listening.error().syscall, EACCES};
  return listening;
}

void unlinkUnix(const std::string& path) noexcept {
  if (path.empty() || path[0] == '\0') return;
  const int saved = errno;
  (void)::unlink(path.c_str());  // already gone is as good as removed
  errno = saved;
}

Result<OwnedFd> connectTcp(const ConnectOptions& options) {
  RawAddress remote;
  if (!parseLiteral(options.address, options.port, remote)) return SysError{"connect", EINVAL};
  OwnedFd fd(openStreamSocket(remote.storage.ss_family));
  if (!fd.isOpen()) return failure("socket");
  if (!options.localAddress.empty() || options.localPort != 0) {
    RawAddress local;
    const char* const any = remote.storage.ss_family == AF_INET6 ? "::" : "0.0.0.0";
    const std::string address = options.localAddress.empty() ? any : options.localAddress;
    if (!parseLiteral(address, options.localPort, local)) return SysError{"bind", EINVAL};
    if (auto set = setFlag(fd.get(), SOL_SOCKET, SO_REUSEADDR, true); !set) return set.error();
    if (::bind(fd.get(), local.get(), local.size) != 0) return failure("bind");
  }
  return beginConnect(std::move(fd), remote);
}

Result<OwnedFd> connectUnix(const std::string& path) {
  RawAddress remote;
  if (!parsePath(path, remote)) return SysError{"connect", EINVAL};
  OwnedFd fd(openStreamSocket(AF_UNIX));
  if (!fd.isOpen()) return failure("socket");
  return beginConnect(std::move(fd), remote);
}

Result<OwnedFd> adoptListener(int fd) {
  const Result<int> type = intOption(fd, SO_TYPE);
  if (!type) return type.error();
  if (type.value() != SOCK_STREAM) return SysError{"listen", EINVAL};
  const Result<int> isListening = intOption(fd, SO_ACCEPTCONN);
  if (!isListening) return isListening.error();
  if (isListening.value() == 0) return SysError{"listen", EINVAL};
  if (auto flags = addFdFlags(fd); !flags) return flags.error();
  return OwnedFd(fd);
}

Result<OwnedFd> listenOnBound(int fd, int backlog) {
  const Result<int> copy = duplicateFd(fd);
  if (!copy) return copy.error();
  OwnedFd owned(copy.value());
  if (::listen(owned.get(), backlog) != 0) return failure("listen");
  if (auto flags = addFdFlags(owned.get()); !flags) return flags.error();
  return owned;
}

Result<Accepted> acceptConnection(int listenerFd) {
  for (;;) {
    RawAddress peer;
    peer.size = sizeof(peer.storage);
    OwnedFd fd(acceptStreamSocket(listenerFd, peer.get(), &peer.size));
    if (fd.isOpen()) return Accepted{std::move(fd), toEndpoint(peer)};
    const int code = errno;
    if (code == EINTR || isQueuedConnectionError(code)) continue;
    return SysError{"accept", code == EWOULDBLOCK ? EAGAIN : code};
  }
}

Result<Accepted> adoptConnection(int fd) {
  OwnedFd owned(fd);
  const Result<int> type = intOption(fd, SO_TYPE);
  if (!type) return type.error();
  if (type.value() != SOCK_STREAM) return SysError{"getpeername", EINVAL};
  if (auto flags = addFdFlags(fd); !flags) return flags.error();
  const Result<Endpoint> peer = peerEndpoint(fd);
  if (!peer) return peer.error();
  return Accepted{std::move(owned), peer.value()};
}

Result<int> duplicateFd(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return failure("fcntl");
  return copy;
}

Result<Endpoint> localEndpoint(int fd) {
  RawAddress raw;
  raw.size = sizeof(raw.storage);
  if (::getsockname(fd, raw.get(), &raw.size) != 0) return failure("getsockname");
  return toEndpoint(raw);
}

Result<Endpoint> peerEndpoint(int fd) {
  RawAddress raw;
  raw.size = sizeof(raw.storage);
  if (::getpeername(fd, raw.get(), &raw.size) != 0) return failure("getpeername");
  return toEndpoint(raw);
}

std::string localUnixPath(int fd) {
  sockaddr_un local = {};
  socklen_t size = sizeof(local);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) != 0 || local.sun_family != AF_UNIX) return "";
  const size_t offset = offsetof(sockaddr_un, sun_path);
  if (size <= offset) return "";
  const size_t length = std::min(size - offset, sizeof(local.sun_path));
  if (local.sun_path[0] == '\0') {
    // Linux's abstract name, or nothing but the zeros in which some systems report an unnamed socket.
    const std::string name(local.sun_path, length);
    return name.find_first_not_of('\0') == std::string::npos ? "" : name;
  }
  return std::string(local.sun_path, ::strnlen(local.sun_path, length));
}

IoOutcome receive(int fd, std::span<uint8_t> into) {
  if (into.empty()) return {};
  for (;;) {
    const ssize_t count = ::recv(fd, into.data(), into.size(), 0);
    if (count > 0) return {IoOutcome::Kind::Ok, static_cast<size_t>(count), {}};
    if (count == 0) return {IoOutcome::Kind::EndOfStream, 0, {}};
    if (errno != EINTR) return outcomeOfFailure("recv", errno);
  }
}

IoOutcome sendSlices(int fd, std::span<const IoSlice> slices) {
  static_assert(sizeof(IoSlice) == sizeof(iovec) && alignof(IoSlice) == alignof(iovec));
  static_assert(offsetof(IoSlice, data) == offsetof(iovec, iov_base));
  static_assert(offsetof(IoSlice, size) == offsetof(iovec, iov_len));
  if (slices.empty()) return {};
  msghdr message = {};
  message.msg_iov = reinterpret_cast<iovec*>(const_cast<IoSlice*>(slices.data()));
  message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(std::min(slices.size(), kMaxIoSlices));
  for (;;) {
    // One slice, the common case, spares the kernel the copying in of a message header.
    const ssize_t count = slices.size() == 1 ? ::send(fd, slices[0].data, slices[0].size, kSendFlags)
                                             : ::sendmsg(fd, &message, kSendFlags);
    if (count >= 0) return {IoOutcome::Kind::Ok, static_cast<size_t>(count), {}};
    const int code = errno;
    if (code == EINTR) continue;
    if (isTransientSendError(code)) return {IoOutcome::Kind::WouldBlock, 0, {}};
    return outcomeOfFailure("send", code);
  }
}

Result<void> shutdownWrite(int fd) {
  if (::shutdown(fd, SHUT_WR) != 0) return failure("shutdown");
  return {};
}

Result<void> setNoDelay(int fd, bool enabled) { return setFlag(fd, IPPROTO_TCP, TCP_NODELAY, enabled); }

Result<void> setKeepAlive(int fd, bool enabled, uint32_t idleSeconds) {
  static constexpr int kProbeIntervalSeconds = 1;
  static constexpr int kProbes = 10;
  if (auto set = setFlag(fd, SOL_SOCKET, SO_KEEPALIVE, enabled); !set) return set;
  if (!enabled || idleSeconds == 0) return {};
  if (auto set = setNumber(fd, IPPROTO_TCP, kKeepAliveIdleOption, static_cast<int>(idleSeconds)); !set) return set;
  if (auto set = setNumber(fd, IPPROTO_TCP, TCP_KEEPINTVL, kProbeIntervalSeconds); !set) return set;
  return setNumber(fd, IPPROTO_TCP, TCP_KEEPCNT, kProbes);
}

int socketError(int fd) {
  const Result<int> error = intOption(fd, SO_ERROR);
  return error ? error.value() : error.error().code;
}

Result<void> setResetOnClose(int fd) {
  linger option = {};
  option.l_onoff = 1;
  option.l_linger = 0;
  if (::setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, sizeof(option)) != 0) return failure("setsockopt");
  return {};
}

Result<OwnedFd> openReserveFd() {
  OwnedFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!fd.isOpen()) return failure("open");
  return fd;
}

}  // namespace gammaloop
