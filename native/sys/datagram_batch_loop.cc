// Systems without a call for many datagrams: recvmsg and sendmsg, one each.
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "sys/datagrams.h"
#include "sys/socket_address.h"

namespace gammaloop {

namespace {

// What a batch that ends with `code` gives: no room, and nothing to receive, are no errors.
Moved ended(size_t done, const char* syscall, int code) {
  if (code == EAGAIN || code == EWOULDBLOCK || code == ENOBUFS) return {done, {}};
  return {done, {syscall, code}};
}

}  // namespace

Moved receiveDatagrams(int fd, std::span<Datagram> batch) {
  const size_t count = std::min(batch.size(), kMaxDatagrams);
  for (size_t i = 0; i < count; i++) {
    RawAddress peer;
    iovec slice = {batch[i].bytes.data(), batch[i].bytes.size()};
    msghdr header = {};
    header.msg_name = peer.get();
    header.msg_namelen = sizeof(sockaddr_storage);
    header.msg_iov = &slice;
    header.msg_iovlen = 1;
    ssize_t received;
    do {
      received = ::recvmsg(fd, &header, MSG_DONTWAIT);
    } while (received < 0 && errno == EINTR);
    if (received < 0) return ended(i, "recvmsg", errno);
    peer.size = header.msg_namelen;
    batch[i].bytes = batch[i].bytes.first(static_cast<size_t>(received));
    batch[i].peer = toEndpoint(peer);
    batch[i].truncated = (header.msg_flags & MSG_TRUNC) != 0;
  }
  return {count, {}};
}

Moved sendDatagrams(int fd, std::span<const Datagram> batch) {
  const size_t count = std::min(batch.size(), kMaxDatagrams);
  for (size_t i = 0; i < count; i++) {
    RawAddress peer;
    iovec slice = {batch[i].bytes.data(), batch[i].bytes.size()};
    msghdr header = {};
    if (batch[i].peer.family != Endpoint::Family::None) {
      peer = toRawAddress(batch[i].peer);
      header.msg_name = peer.get();
      header.msg_namelen = peer.size;
    }
    header.msg_iov = &slice;
    header.msg_iovlen = 1;
    ssize_t sent;
    do {
      sent = ::sendmsg(fd, &header, MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) return ended(i, "sendmsg", errno);
  }
  return {count, {}};
}

}  // namespace gammaloop
