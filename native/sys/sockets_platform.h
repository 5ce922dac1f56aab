// What differs between the systems that sys/sockets.cc runs on. One file per system defines these (sockets_linux.cc,
// sockets_freebsd.cc, sockets_darwin.cc); the build links exactly one of them.
// Thread: none of these keeps state. Each returns -1 and sets errno as the system call does.
#pragma once

#include <sys/socket.h>

namespace gammaloop {

// A stream socket that is non-blocking and close-on-exec, and raises no SIGPIPE when sent to with kSendFlags.
int openStreamSocket(int family);
// The same for a connection taken from the listener's queue.
int acceptStreamSocket(int listenerFd, sockaddr* peer, socklen_t* peerSize);

// The flags of every send that keep SIGPIPE away (0 where a socket option does it).
extern const int kSendFlags;
// The option under which several sockets on one port share its connections evenly, where the system can.
extern const int kReusePortOption;
// The option under which several datagram sockets have one port, as receivers of a group do.
extern const int kSharedPortOption;
// The seconds of silence after which TCP probes begin.
extern const int kKeepAliveIdleOption;
// Send failed, but trying again later is right: the system was short of memory, or is known to report this falsely.
bool isTransientSendError(int code);

}  // namespace gammaloop
