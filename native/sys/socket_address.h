// Socket addresses as the system has them, for the sources of native/sys alone. Thread: none of these keeps state.
#pragma once

#include <sys/socket.h>

#include <string>

#include "sys/sockets.h"

namespace gammaloop {

// A socket address with its length, as bind wants it and getsockname gives it.
struct RawAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Endpoint toEndpoint(const RawAddress& raw);
// Only of families V4 and V6.
RawAddress toRawAddress(const Endpoint& endpoint);
// False: not a literal IPv4 or IPv6 address ("fe80::1%eth0" included).
bool parseLiteral(const std::string& address, uint16_t port, RawAddress& raw);

}  // namespace gammaloop
