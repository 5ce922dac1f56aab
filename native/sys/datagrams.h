// Datagram sockets (UDP): opened, and received from and sent to in batches: one system call for many datagrams where
// the system has one (datagram_batch_linux.cc), else one each (datagram_batch_loop.cc). Thread: none of these keeps
// state.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "sys/sockets.h"

namespace gammaloop {

// More are not moved in one call.
inline constexpr size_t kMaxDatagrams = 32;

struct DatagramOptions {
  std::string address;  // literal, or "" for the wildcard of the remote's family, else the dual-stack one
  uint16_t port = 0;
  std::string remoteAddress;  // "": not connected
  uint16_t remotePort = 0;
  bool ipv6Only = false;
  bool reuseAddress = false;
  bool reusePort = false;
  bool broadcast = false;
  uint32_t receiveBufferBytes = 0;  // 0: the system's default
  uint32_t sendBufferBytes = 0;
};

// Non-blocking, close-on-exec, bound, and connected where there is a remote. The error says which call failed.
Result<OwnedFd> openDatagramSocket(const DatagramOptions& options);

struct Datagram {
  std::span<uint8_t> bytes;  // to receive: the room, then what came; to send: what goes
  Endpoint peer;             // to send: family None on a connected socket
  bool truncated = false;    // it was longer than the room; the rest is lost
};

// What became of a batch: so many went well, from the first on, and behind them came an error (code 0: none did). The
// system forgets an error that it has told, so it goes with the datagrams before it and is not left for the next call.
struct Moved {
  size_t count = 0;
  SysError error;
};

// None and no error: none waits.
Moved receiveDatagrams(int fd, std::span<Datagram> batch);
// None and no error: there is no room now. The error is that of the datagram behind those that were taken, which is not
// sent; a system that takes many in one call may tell of it only where it is the first.
Moved sendDatagrams(int fd, std::span<const Datagram> batch);

enum class DatagramOption : uint32_t {
  Ttl,
  MulticastTtl,
  MulticastLoopback,
  Broadcast,
  ReceiveBufferBytes,
  SendBufferBytes,
};
inline constexpr uint32_t kDatagramOptionCount = 6;

// Those of IPv4 or of IPv6, as the socket is.
Result<void> setDatagramOption(int fd, DatagramOption option, int value);
Result<int> datagramOption(int fd, DatagramOption option);

// Addresses are literal. An interface is named by an IPv4 address that it has, or for IPv6 by "::%eth0"; "": the
// system's choice. EINVAL where one is neither.
struct Membership {
  std::string group;
  std::string interface;
  std::string source;  // "": from anybody
};

Result<void> joinGroup(int fd, const Membership& membership);
Result<void> leaveGroup(int fd, const Membership& membership);
// Where what is sent to groups leaves.
Result<void> setMulticastInterface(int fd, const std::string& interface);

// A literal address; EINVAL for anything else.
Result<Endpoint> parseEndpoint(const std::string& address, uint16_t port);

}  // namespace gammaloop
