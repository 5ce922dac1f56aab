// FreeBSD: as Linux, but SO_REUSEPORT alone gives every connection to one socket; SO_REUSEPORT_LB spreads them.
#include <netinet/tcp.h>

#include <cerrno>

#include "sys/sockets_platform.h"

namespace gammaloop {

const int kSendFlags = MSG_NOSIGNAL;
const int kReusePortOption = SO_REUSEPORT_LB;
const int kSharedPortOption = SO_REUSEPORT;
const int kKeepAliveIdleOption = TCP_KEEPIDLE;

int openStreamSocket(int family) { return ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

int acceptStreamSocket(int listenerFd, sockaddr* peer, socklen_t* peerSize) {
  return ::accept4(listenerFd, peer, peerSize, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

bool isTransientSendError(int code) { return code == ENOBUFS; }

}  // namespace gammaloop
