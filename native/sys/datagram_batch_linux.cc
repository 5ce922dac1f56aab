// Linux: recvmmsg and sendmmsg.
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "sys/datagrams.h"
#include "sys/socket_address.h"

namespace gammaloop {

namespace {

// The structures that the system fills in, for one batch.
struct Messages {
  std::array<mmsghdr, kMaxDatagrams> headers = {};
  std::array<iovec, kMaxDatagrams> slices;
  std::array<RawAddress, kMaxDatagrams> addresses;

  void put(size_t index, const Datagram& datagram) {
    slices[index] = {datagram.bytes.data(), datagram.bytes.size()};
    headers[index].msg_hdr.msg_iov = &slices[index];
    headers[index].msg_hdr.msg_iovlen = 1;
  }
};

Moved failed(const char* syscall, int code) {
  if (code == EAGAIN || code == EWOULDBLOCK) return {};
  return {0, {syscall, code}};
}

}  // namespace

Moved receiveDatagrams(int fd, std::span<Datagram> batch) {
  Messages messages;
  const size_t count = std::min(batch.size(), kMaxDatagrams);
  for (size_t i = 0; i < count; i++) {
    messages.put(i, batch[i]);
    messages.headers[i].msg_hdr.msg_name = messages.addresses[i].get();
    messages.headers[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage);
  }
  int received;
  do {
    received = ::recvmmsg(fd, messages.headers.data(), static_cast<unsigned>(count), MSG_DONTWAIT, nullptr);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return failed("recvmmsg", errno);
  for (size_t i = 0; i < static_cast<size_t>(received); i++) {
    const mmsghdr& header = messages.headers[i];
    messages.addresses[i].size = header.msg_hdr.msg_namelen;
    batch[i].bytes = batch[i].bytes.first(std::min<size_t>(header.msg_len, batch[i].bytes.size()));
    batch[i].peer = toEndpoint(messages.addresses[i]);
    batch[i].truncated = (header.msg_hdr.msg_flags & MSG_TRUNC) != 0;
  }
  return {static_cast<size_t>(received), {}};
}

Moved sendDatagrams(int fd, std::span<const Datagram> batch) {
  Messages messages;
  const size_t count = std::min(batch.size(), kMaxDatagrams);
  for (size_t i = 0; i < count; i++) {
    messages.put(i, batch[i]);
    if (batch[i].peer.family == Endpoint::Family::None) continue;
    messages.addresses[i] = toRawAddress(batch[i].peer);
    messages.headers[i].msg_hdr.msg_name = messages.addresses[i].get();
    messages.headers[i].msg_hdr.msg_namelen = messages.addresses[i].size;
  }
  int sent;
  do {
    sent = ::sendmmsg(fd, messages.headers.data(), static_cast<unsigned>(count), MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return failed("sendmmsg", errno);
  return {static_cast<size_t>(sent), {}};
}

}  // namespace gammaloop
