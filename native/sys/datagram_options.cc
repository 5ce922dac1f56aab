// What can be set on a datagram socket that is open, multicast groups among it (RFC 3493, 3678).
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "sys/datagrams.h"
#include "sys/socket_address.h"

namespace gammaloop {

namespace {

SysError failure(const char* syscall) { return SysError{syscall, errno}; }

template <typename T>
Result<void> set(int fd, int level, int option, const T& value) {
  if (::setsockopt(fd, level, option, &value, sizeof(value)) != 0) return failure("setsockopt");
  return {};
}

bool isV6(int fd) {
  const Result<Endpoint> local = localEndpoint(fd);
  return local && local.value().family == Endpoint::Family::V6;
}

std::pair<int, int> levelAndName(int fd, DatagramOption option) {
  const bool v6 = isV6(fd);
  const int level = v6 ? static_cast<int>(IPPROTO_IPV6) : static_cast<int>(IPPROTO_IP);
  switch (option) {
    case DatagramOption::Ttl:
      return {level, v6 ? IPV6_UNICAST_HOPS : IP_TTL};
    case DatagramOption::MulticastTtl:
      return {level, v6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL};
    case DatagramOption::MulticastLoopback:
      return {level, v6 ? IPV6_MULTICAST_LOOP : IP_MULTICAST_LOOP};
    case DatagramOption::Broadcast:
      return {SOL_SOCKET, SO_BROADCAST};
    case DatagramOption::ReceiveBufferBytes:
      return {SOL_SOCKET, SO_RCVBUF};
    case DatagramOption::SendBufferBytes:
      break;
  }
  return {SOL_SOCKET, SO_SNDBUF};
}

// "" is the wildcard of the family.
bool parseOf(int family, const std::string& address, RawAddress& raw) {
  const char* const wildcard = family == AF_INET6 ? "::" : "0.0.0.0";
  return parseLiteral(address.empty() ? wildcard : address, 0, raw) && raw.storage.ss_family == family;
}

in_addr v4Of(const RawAddress& raw) { return reinterpret_cast<const sockaddr_in*>(&raw.storage)->sin_addr; }
const sockaddr_in6& v6Of(const RawAddress& raw) { return *reinterpret_cast<const sockaddr_in6*>(&raw.storage); }

struct Parsed {
  int family = 0;
  RawAddress group;
  RawAddress interface;
  RawAddress source;
};

bool parse(const Membership& membership, Parsed& parsed) {
  if (!parseLiteral(membership.group, 0, parsed.group)) return false;
  parsed.family = parsed.group.storage.ss_family;
  return parseOf(parsed.family, membership.interface, parsed.interface) &&
         parseOf(parsed.family, membership.source, parsed.source);
}

Result<void> changeFromAnybody(int fd, const Parsed& parsed, bool join) {
  if (parsed.family == AF_INET) {
    ip_mreq request = {};
    request.imr_multiaddr = v4Of(parsed.group);
    request.imr_interface = v4Of(parsed.interface);
    return set(fd, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, request);
  }
  ipv6_mreq request = {};
  request.ipv6mr_multiaddr = v6Of(parsed.group).sin6_addr;
  request.ipv6mr_interface = v6Of(parsed.interface).sin6_scope_id;
  return set(fd, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, request);
}

Result<void> changeFromSource(int fd, const Parsed& parsed, bool join) {
  if (parsed.family == AF_INET) {
    ip_mreq_source request = {};
    request.imr_multiaddr = v4Of(parsed.group);
    request.imr_interface = v4Of(parsed.interface);
    request.imr_sourceaddr = v4Of(parsed.source);
    return set(fd, IPPROTO_IP, join ? IP_ADD_SOURCE_MEMBERSHIP : IP_DROP_SOURCE_MEMBERSHIP, request);
  }
  group_source_req request = {};
  request.gsr_interface = v6Of(parsed.interface).sin6_scope_id;
  std::memcpy(&request.gsr_group, parsed.group.get(), parsed.group.size);
  std::memcpy(&request.gsr_source, parsed.source.get(), parsed.source.size);
  return set(fd, IPPROTO_IPV6, join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP, request);
}

Result<void> change(int fd, const Membership& membership, bool join) {
  Parsed parsed;
  if (!parse(membership, parsed)) return SysError{"setsockopt", EINVAL};
  return membership.source.empty() ? changeFromAnybody(fd, parsed, join) : changeFromSource(fd, parsed, join);
}

}  // namespace

Result<void> setDatagramOption(int fd, DatagramOption option, int value) {
  const auto [level, name] = levelAndName(fd, option);
  return set(fd, level, name, value);
}

Result<int> datagramOption(int fd, DatagramOption option) {
  const auto [level, name] = levelAndName(fd, option);
  int value = 0;
  socklen_t size = sizeof(value);
  if (::getsockopt(fd, level, name, &value, &size) != 0) return failure("getsockopt");
  return value;
}

Result<void> joinGroup(int fd, const Membership& membership) { return change(fd, membership, true); }

Result<void> leaveGroup(int fd, const Membership& membership) { return change(fd, membership, false); }

Result<void> setMulticastInterface(int fd, const std::string& interface) {
  RawAddress raw;
  const bool v6 = isV6(fd);
  if (!parseOf(v6 ? AF_INET6 : AF_INET, interface, raw)) return SysError{"setsockopt", EINVAL};
  if (!v6) return set(fd, IPPROTO_IP, IP_MULTICAST_IF, v4Of(raw));
  return set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, v6Of(raw).sin6_scope_id);
}

}  // namespace gammaloop
