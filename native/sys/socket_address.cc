#include "sys/socket_address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

#include <charconv>
#include <cstddef>
#include <cstring>

namespace gammaloop {

namespace {

// "fe80::1%2" or "fe80::1%eth0": the part behind the percent sign. 0 when it names no interface.
uint32_t parseScope(const std::string& scope) {
  uint32_t index = 0;
  const char* end = scope.data() + scope.size();
  const auto [stop, error] = std::from_chars(scope.data(), end, index);
  if (error == std::errc() && stop == end) return index;
  return ::if_nametoindex(scope.c_str());
}

}  // namespace

Endpoint toEndpoint(const RawAddress& raw) {
  Endpoint endpoint;
  // A length of 0 is what some kernels give for a connection that died in the queue.
  if (raw.size < static_cast<socklen_t>(offsetof(sockaddr, sa_family) + sizeof(sa_family_t))) return endpoint;
  switch (raw.storage.ss_family) {
    case AF_INET: {
      sockaddr_in v4;
      std::memcpy(&v4, &raw.storage, sizeof(v4));
      endpoint.family = Endpoint::Family::V4;
      endpoint.port = ntohs(v4.sin_port);
      std::memcpy(endpoint.address, &v4.sin_addr, sizeof(v4.sin_addr));
      break;
    }
    case AF_INET6: {
      sockaddr_in6 v6;
      std::memcpy(&v6, &raw.storage, sizeof(v6));
      endpoint.family = Endpoint::Family::V6;
      endpoint.port = ntohs(v6.sin6_port);
      endpoint.scopeId = v6.sin6_scope_id;
      std::memcpy(endpoint.address, &v6.sin6_addr, sizeof(v6.sin6_addr));
      break;
    }
    case AF_UNIX:
      endpoint.family = Endpoint::Family::Unix;
      break;
    default:
      break;
  }
  return endpoint;
}

RawAddress toRawAddress(const Endpoint& endpoint) {
  RawAddress raw;
  if (endpoint.family == Endpoint::Family::V4) {
    sockaddr_in v4 = {};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, endpoint.address, sizeof(v4.sin_addr));
    std::memcpy(&raw.storage, &v4, sizeof(v4));
    raw.size = sizeof(v4);
  } else {
    sockaddr_in6 v6 = {};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    v6.sin6_scope_id = endpoint.scopeId;
    std::memcpy(&v6.sin6_addr, endpoint.address, sizeof(v6.sin6_addr));
    std::memcpy(&raw.storage, &v6, sizeof(v6));
    raw.size = sizeof(v6);
  }
  return raw;
}

bool parseLiteral(const std::string& address, uint16_t port, RawAddress& raw) {
  // inet_pton would stop at a NUL and accept what stands before it.
  if (address.find('\0') != std::string::npos) return false;
  sockaddr_in v4 = {};
  if (::inet_pton(AF_INET, address.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&raw.storage, &v4, sizeof(v4));
    raw.size = sizeof(v4);
    return true;
  }
  sockaddr_in6 v6 = {};
  const size_t percent = address.find('%');
  if (percent != std::string::npos) {
    v6.sin6_scope_id = parseScope(address.substr(percent + 1));
    if (v6.sin6_scope_id == 0) return false;
  }
  if (::inet_pton(AF_INET6, address.substr(0, percent).c_str(), &v6.sin6_addr) != 1) return false;
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&raw.storage, &v6, sizeof(v6));
  raw.size = sizeof(v6);
  return true;
}

}  // namespace gammaloop
