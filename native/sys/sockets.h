// Sockets: thin, EINTR-safe calls that return every errno. All sockets are non-blocking and close-on-exec.
// (The file is not called socket.h: with native/ on the include path, that name would hide the system's
// <sys/socket.h>.) Owns: OwnedFd closes its descriptor. Thread: none of these keeps state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gammaloop {

class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept;
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() { close(); }

  int get() const { return fd_; }
  bool isOpen() const { return fd_ >= 0; }
  int release();
  void close() noexcept;  // idempotent

 private:
  int fd_ = -1;
};

// A socket address in bytes, small enough to stand in every connection. Unix peers have family Unix and no address.
struct Endpoint {
  enum class Family : uint8_t { None, V4, V6, Unix };
  Family family = Family::None;
  uint16_t port = 0;
  uint32_t scopeId = 0;
  uint8_t address[16] = {};

  std::string addressText() const;  // "127.0.0.1", "::1", "fe80::1%eth0" as node writes it; "" for None and Unix
};

struct ListenOptions {
  int backlog = 511;
  bool ipv6Only = false;
  bool reusePort = false;
};

// A piece of memory to send; layout-compatible with the platform's own (iovec).
struct IoSlice {
  const void* data;
  size_t size;
};

struct IoOutcome {
  enum class Kind : uint8_t { Ok, WouldBlock, EndOfStream, Failed };
  Kind kind = Kind::Ok;
  size_t bytes = 0;     // with Ok
  SysError error = {};  // with Failed
};

// `address` is a literal IPv4 or IPv6 address (names are resolved in TypeScript), "" for the dual-stack wildcard
// (:: and, where IPv6 is missing, 0.0.0.0). EINVAL for anything else.
Result<OwnedFd> listenTcp(const std::string& address, uint16_t port, const ListenOptions& options);
// EADDRINUSE when a live server owns the path; the socket file is removed by the caller at close (unlinkUnix).
Result<OwnedFd> listenUnix(const std::string& path, const ListenOptions& options);
void unlinkUnix(const std::string& path) noexcept;
// Takes over a listening descriptor (socket activation): checks that it is a listening stream socket (EINVAL,
// ENOTSOCK).
Result<OwnedFd> adoptListener(int fd);
// Listens on a duplicate of a descriptor that somebody else has bound, and keeps: the two are closed independently.
Result<OwnedFd> listenOnBound(int fd, int backlog);

// A connection begins; its outcome is known once the socket turns writable (socketError). `address` is a literal, as
// for listenTcp but not empty; `localAddress` and `localPort`: what it is bound to before ("" and 0: the system
// chooses).
struct ConnectOptions {
  std::string address;
  uint16_t port = 0;
  std::string localAddress;
  uint16_t localPort = 0;
};
Result<OwnedFd> connectTcp(const ConnectOptions& options);
Result<OwnedFd> connectUnix(const std::string& path);

struct Accepted {
  OwnedFd fd;
  Endpoint peer;
};
// Takes over a connection that somebody else has accepted. The descriptor is closed where it is not one (ENOTSOCK,
// ENOTCONN).
Result<Accepted> adoptConnection(int fd);
Result<int> duplicateFd(int fd);
// EAGAIN when none is waiting. ECONNABORTED and friends (a connection that died in the queue) are retried inside.
Result<Accepted> acceptConnection(int listenerFd);

Result<Endpoint> localEndpoint(int fd);
Result<Endpoint> peerEndpoint(int fd);
std::string localUnixPath(int fd);  // "" when it has none

IoOutcome receive(int fd, std::span<uint8_t> into);
// One system call. `Ok.bytes` may be less than the sum. No SIGPIPE. At most kMaxIoSlices slices are sent at a time.
inline constexpr size_t kMaxIoSlices = 64;
IoOutcome sendSlices(int fd, std::span<const IoSlice> slices);

Result<void> shutdownWrite(int fd);
Result<void> setNoDelay(int fd, bool enabled);
// Probes after `idleSeconds` of silence, as node sets them up (then one a second, ten in all). 0: the system's default.
Result<void> setKeepAlive(int fd, bool enabled, uint32_t idleSeconds);
// The error that waits on a socket, which this takes off it; 0 when there is none.
int socketError(int fd);
// Makes the next close send RST instead of FIN.
Result<void> setResetOnClose(int fd);
// A descriptor held in reserve against EMFILE.
Result<OwnedFd> openReserveFd();

}  // namespace gammaloop
