/*
 * The limit of a TCP echo: level-triggered epoll, one recv and one send a readiness. Not a server to use: a peer that
 * does not read makes it wait.
 *
 * Usage: tcp_echo     prints "READY <port>"; stops at the end of its standard input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void echo(int fd) {
  static char bytes[256 * 1024];
  ssize_t count = recv(fd, bytes, sizeof bytes, 0);
  if (count <= 0) {
    if (count == 0 || errno != EAGAIN) close(fd);
    return;
  }
  for (ssize_t at = 0; at < count;) {
    ssize_t sent = send(fd, bytes + at, (size_t)(count - at), MSG_NOSIGNAL);
    if (sent >= 0) {
      at += sent;
      continue;
    }
    if (errno != EAGAIN) {
      close(fd);
      return;
    }
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    poll(&room, 1, -1);
  }
}

int main(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), ep = epoll_create1(EPOLL_CLOEXEC);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  if (ep < 0 || listener < 0 || bind(listener, (struct sockaddr*)&a, len) < 0 || listen(listener, 4096) < 0)
    die("listen");
  if (getsockname(listener, (struct sockaddr*)&a, &len) < 0) die("getsockname");
  struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
  if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) < 0) die("epoll_ctl");
  e.data.fd = 0;
  if (epoll_ctl(ep, EPOLL_CTL_ADD, 0, &e) < 0) die("epoll_ctl");
  printf("READY %d\n", ntohs(a.sin_port));
  fflush(stdout);
  for (;;) {
    struct epoll_event ready[256];
    int n = epoll_wait(ep, ready, 256, -1);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
      int fd = ready[i].data.fd, one = 1;
      char sink[256];
      if (fd == 0) {
        if (read(0, sink, sizeof sink) <= 0) return 0;
      } else if (fd != listener) {
        echo(fd);
      } else if ((e.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(e.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (epoll_ctl(ep, EPOLL_CTL_ADD, e.data.fd, &e) < 0) die("epoll_ctl");
      }
    }
  }
}
