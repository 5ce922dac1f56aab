/*
 * The limit: about the least that a single-threaded HTTP/1.1 server can do per request on this machine's kernel. Not a
 * server to use.
 *
 * Level-triggered epoll; one recv and one send per readiness. The scan is for the empty line and, where the request is
 * not a GET, for content-length. A request that is cut by the end of the buffer waits in a block of its own, so an idle
 * connection owns no memory beyond its slot. Answers that the socket does not take at once wait likewise, with write
 * interest, and reading stops meanwhile.
 *
 * Usage: limit hello|echo|16k     prints "READY <port>"; stops at the end of its standard input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kInBytes = 65536, kOutBytes = 1 << 20, kMaxFds = 65536, kEvents = 1024 };

typedef struct {
  char* in; /* the beginning of a cut request, or NULL */
  size_t inLen;
  char* out; /* what the socket did not take, or NULL */
  size_t outLen, outAt;
} Conn;

static Conn conns[kMaxFds];
static char in[kInBytes], out[kOutBytes];
static char fixed[20000]; /* the whole answer of hello and 16k */
static size_t fixedLen;
static int echo;
static int ep;

static void die(const char* what) {
  perror(what);
  exit(1);
}

static void drop(int fd) {
  Conn* c = &conns[fd];
  free(c->in);
  free(c->out);
  memset(c, 0, sizeof *c);
  close(fd);
}

static void watch(int fd, unsigned events, int op) {
  struct epoll_event e = {.events = events, .data.fd = fd};
  if (epoll_ctl(ep, op, fd, &e) < 0) die("epoll_ctl");
}

/* Content-Length of the head [p, end), or 0. Minimal: the name at the beginning of a line, decimal digits after the
 * colon. */
static size_t contentLength(const char* p, const char* end) {
  while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
    p++;
    if (end - p > 16 && (*p | 0x20) == 'c' && strncasecmp(p, "content-length:", 15) == 0)
      return strtoul(p + 15, NULL, 10);
  }
  return 0;
}

/* Sends; keeps what was not taken. False: the connection was dropped. */
static int sendAll(int fd, size_t len) {
  ssize_t n = send(fd, out, len, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) return drop(fd), 0;
  if (n < 0) n = 0;
  if ((size_t)n == len) return 1;
  Conn* c = &conns[fd];
  c->outLen = len - (size_t)n;
  c->outAt = 0;
  c->out = malloc(c->outLen);
  if (c->out == NULL) die("malloc");
  memcpy(c->out, out + n, c->outLen);
  watch(fd, EPOLLOUT, EPOLL_CTL_MOD);
  return 1;
}

static void onWritable(int fd) {
  Conn* c = &conns[fd];
  ssize_t n = send(fd, c->out + c->outAt, c->outLen - c->outAt, MSG_NOSIGNAL);
  if (n < 0) {
    if (errno != EAGAIN) drop(fd);
    return;
  }
  c->outAt += (size_t)n;
  if (c->outAt < c->outLen) return;
  free(c->out);
  c->out = NULL;
  watch(fd, EPOLLIN, EPOLL_CTL_MOD);
}

static void onReadable(int fd) {
  Conn* c = &conns[fd];
  size_t had = c->inLen;
  if (had > 0) {
    memcpy(in, c->in, had);
    free(c->in);
    c->in = NULL;
    c->inLen = 0;
  }
  if (had == sizeof in) return drop(fd); /* a request larger than this program takes */
  ssize_t n = recv(fd, in + had, sizeof in - had, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN)) return drop(fd);
  if (n < 0) n = 0;
  const char *p = in, *end = in + had + n;
  size_t used = 0;
  while (p < end) {
    const char* head = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);
    if (head == NULL) break;
    head += 4;
    size_t body = *p == 'G' ? 0 : contentLength(p, head);
    if ((size_t)(end - head) < body) break;
    if (used + fixedLen + body + 256 > sizeof out) return drop(fd); /* more pipelined answers than this program takes */
    if (echo) {
      used += (size_t)sprintf(out + used,
                              "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body);
      memcpy(out + used, head, body);
      used += body;
    } else {
      memcpy(out + used, fixed, fixedLen);
      used += fixedLen;
    }
    p = head + body;
  }
  if (p < end) {
    c->inLen = (size_t)(end - p);
    c->in = malloc(c->inLen);
    if (c->in == NULL) die("malloc");
    memcpy(c->in, p, c->inLen);
  }
  if (used > 0) sendAll(fd, used);
}

static void onAcceptable(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  if (fd >= kMaxFds) {
    close(fd);
    return;
  }
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  watch(fd, EPOLLIN, EPOLL_CTL_ADD);
}

static void buildAnswer(size_t bodyLen, const char* hello) {
  fixedLen =
      (size_t)sprintf(fixed, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", bodyLen);
  if (hello != NULL)
    memcpy(fixed + fixedLen, hello, bodyLen);
  else
    memset(fixed + fixedLen, 'x', bodyLen);
  fixedLen += bodyLen;
}

int main(int argc, char** argv) {
  const char* app = argc > 1 ? argv[1] : "hello";
  if (strcmp(app, "echo") == 0)
    echo = 1;
  else if (strcmp(app, "16k") == 0)
    buildAnswer(16384, NULL);
  else
    buildAnswer(13, "Hello, World!");

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  if (listener < 0 || bind(listener, (struct sockaddr*)&a, len) < 0 || listen(listener, 4096) < 0) die("listen");
  if (getsockname(listener, (struct sockaddr*)&a, &len) < 0) die("getsockname");
  ep = epoll_create1(EPOLL_CLOEXEC);
  if (ep < 0) die("epoll_create1");
  watch(listener, EPOLLIN, EPOLL_CTL_ADD);
  watch(0, EPOLLIN, EPOLL_CTL_ADD);
  printf("READY %d\n", ntohs(a.sin_port));
  fflush(stdout);

  for (;;) {
    static struct epoll_event ready[kEvents];
    int n = epoll_wait(ep, ready, kEvents, -1);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
      int fd = ready[i].data.fd;
      char sink[256];
      if (fd == listener)
        onAcceptable(fd);
      else if (fd == 0) {
        if (read(0, sink, sizeof sink) <= 0) return 0;
      } else if (ready[i].events & EPOLLOUT)
        onWritable(fd);
      else
        onReadable(fd);
    }
  }
}
