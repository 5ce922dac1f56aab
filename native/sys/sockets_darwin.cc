// macOS: no accept4 and no MSG_NOSIGNAL, so the flags are set one by one and SIGPIPE is turned off per socket.
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>

#include "sys/sockets_platform.h"

namespace gammaloop {

namespace {

// Takes the descriptor: closes it when a flag cannot be set, and keeps that errno.
int prepare(int fd) {
  if (fd < 0) return -1;
  const int on = 1;
  // F_SETFL replaces the status flags, which are empty on a socket this process has just made. An accepted socket can
  // inherit O_NONBLOCK from its listener, which is set again here.
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && ::fcntl(fd, F_SETFL, O_NONBLOCK) == 0) {
    if (::setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on)) == 0) return fd;
    // EINVAL: the peer has reset this connection already. Its first read or write will say so.
    if (errno == EINVAL) return fd;
  }
  const int code = errno;
  ::close(fd);
  errno = code;
  return -1;
}

}  // namespace

const int kSendFlags = 0;
const int kReusePortOption = SO_REUSEPORT;
const int kSharedPortOption = SO_REUSEPORT;
const int kKeepAliveIdleOption = TCP_KEEPALIVE;

int openStreamSocket(int family) { return prepare(::socket(family, SOCK_STREAM, 0)); }

int acceptStreamSocket(int listenerFd, sockaddr* peer, socklen_t* peerSize) {
  return prepare(::accept(listenerFd, peer, peerSize));
}

// EPROTOTYPE is what this kernel says to a send that races with the socket's shutdown; the next send gets EPIPE.
bool isTransientSendError(int code) { return code == ENOBUFS || code == EPROTOTYPE; }

}  // namespace gammaloop
