/*
 * Many connections, one request in flight on each. Connects and warms up before the window opens, and reads the
 * server's processor time at both edges of the window itself: the cost of accepting and closing thousands of
 * connections is not in the figure, as it would be with a generator that is started and stopped around it.
 *
 * Usage: closed_loop PORT CONNECTIONS WARMUP_MS WINDOW_MS PID...
 */
#include "client.h"

#include <sys/epoll.h>

typedef struct {
  uint64_t sentNs;
  int fd;
  Inbox in;
} Conn;

int main(int argc, char** argv) {
  if (argc < 6) return fprintf(stderr, "usage: closed_loop PORT CONNECTIONS WARMUP_MS WINDOW_MS PID...\n"), 2;
  int port = atoi(argv[1]), count = atoi(argv[2]);
  Window window = windowOf(argv + 3, argc - 3);
  raiseFileLimit();
  Conn* conns = calloc((size_t)count, sizeof *conns);
  int ep = epoll_create1(EPOLL_CLOEXEC);
  if (conns == NULL || ep < 0) die("start");

  uint64_t errors = 0, not2xx = 0;
  /* One answered request each before the next connect: no backlog overflows, whatever its length. */
  for (int i = 0; i < count; i++) {
    Conn* c = &conns[i];
    c->fd = connectTo(port);
    if (!sendRequest(c->fd) || receiveWhole(c->fd, &c->in, 0) != kOk) {
      errors++;
      continue;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) < 0) die("epoll_ctl");
  }
  for (int i = 0; i < count; i++) {
    conns[i].sentNs = nowNs();
    if (!sendRequest(conns[i].fd)) errors++;
  }

  Latencies latencies = {0};
  uint64_t now = window.startNs = nowNs();
  for (;;) {
    static struct epoll_event ready[512];
    int n = epoll_wait(ep, ready, 512, 100);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
      Conn* c = ready[i].data.ptr;
      Answer a = receive(c->fd, &c->in, MSG_DONTWAIT);
      if (a == kPartial) continue;
      now = nowNs();
      if (a == kOk && window.openNs != 0) record(&latencies, now - c->sentNs);
      if (a == kNot2xx) not2xx++;
      if (a != kBroken) {
        c->sentNs = now;
        if (sendRequest(c->fd)) continue;
      }
      errors++;
      close(c->fd);
    }
    if (windowIsOver(&window, nowNs())) break;
  }
  printResult(latencies.count, &latencies, &window, errors, not2xx);
  return 0;
}
