/*
 * Messages that a server is to send back, a few connections with one message in flight each, as in uvloop's own echo
 * benchmark. Prints messages, nanoseconds of the window, and the server's processor time in it.
 *
 * Usage: tcp_echo PORT MESSAGE_BYTES CONNECTIONS WARMUP_MS WINDOW_MS PID WAIT_MS
 *
 * WAIT_MS 0: it never sleeps. Who sends to a process that sleeps pays for waking it, and a server that is slower than
 * this client pays for nearly every message, one that is faster for none: on a virtual machine that is most of the
 * difference between two servers, and no difference where clients are on other machines.
 */
#define _GNU_SOURCE
#include <sys/epoll.h>

#include "client.h"

enum { kMaxConnections = 64 };

typedef struct {
  int fd;
  size_t sent, received;
} Conversation;

static Conversation all[kMaxConnections];
static char *message, *inbox;
static size_t size;
static uint64_t messages;

static void sendOn(Conversation* c) {
  while (c->sent < size) {
    ssize_t count = send(c->fd, message + c->sent, size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) die("send");
    c->sent += (size_t)count;
  }
}

static void receiveOn(Conversation* c) {
  ssize_t count = recv(c->fd, inbox, size, MSG_DONTWAIT);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) die("recv");
  if (memcmp(inbox, message + c->received, (size_t)count) != 0) {
    fprintf(stderr, "not what was sent\n");
    exit(1);
  }
  c->received += (size_t)count;
  if (c->received < size) return;
  messages++;
  c->sent = c->received = 0;
  sendOn(c);
}

static void window(int ep, int waitMs, uint64_t ns) {
  uint64_t end = nowNs() + ns;
  while (nowNs() < end) {
    struct epoll_event ready[kMaxConnections];
    int n = epoll_wait(ep, ready, kMaxConnections, waitMs);
    for (int i = 0; i < n; i++) {
      Conversation* c = ready[i].data.ptr;
      sendOn(c);
      receiveOn(c);
    }
  }
}

int main(int argc, char** argv) {
  if (argc < 8) return fprintf(stderr, "usage: tcp_echo PORT BYTES CONNECTIONS WARMUP_MS WINDOW_MS PID WAIT_MS\n"), 2;
  int count = atoi(argv[3]), pid = atoi(argv[6]), waitMs = atoi(argv[7]), ep = epoll_create1(EPOLL_CLOEXEC);
  size = strtoull(argv[2], NULL, 10);
  message = malloc(size);
  inbox = malloc(size);
  for (size_t i = 0; i < size; i++) message[i] = (char)('a' + i % 23);
  for (int i = 0; i < count && i < kMaxConnections; i++) {
    all[i].fd = connectTo(atoi(argv[1]));
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[i]};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &e) < 0) die("epoll_ctl");
    sendOn(&all[i]);
    /* What does not fit at once leaves as the echo comes back. */
  }
  window(ep, waitMs, strtoull(argv[4], NULL, 10) * 1000000u);
  messages = 0;
  CpuTime from = cpuTimeOf(&pid, 1);
  uint64_t openNs = nowNs();
  window(ep, waitMs, strtoull(argv[5], NULL, 10) * 1000000u);
  uint64_t closeNs = nowNs();
  CpuTime to = cpuTimeOf(&pid, 1);
  printf("%llu %llu %llu\n", (unsigned long long)messages, (unsigned long long)(closeNs - openNs),
         (unsigned long long)(to.ns - from.ns));
  return 0;
}
