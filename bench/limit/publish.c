/*
 * The floor of one publication to many: a server that has nothing to do but send() a frame of 22 bytes to each of
 * SUBSCRIBERS sockets, and waits until all have it. Prints the server's processor time for each that one gets, in
 * microseconds.
 *
 *   cc -O2 -o publish bench/limit/publish.c && ./publish [SUBSCRIBERS [ROUNDS]]
 *
 * Server on the first processor, subscribers on the second. Ends by itself. Exit code 1 where a system call fails.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kFrameBytes = 22, kWarmUpRounds = 50, kEvents = 512 };

static int must(int result, const char* what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

static void runOn(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  must(sched_setaffinity(0, sizeof set, &set), "sched_setaffinity");
}

static double processorMicroseconds(void) {
  struct rusage usage;
  must(getrusage(RUSAGE_SELF, &usage), "getrusage");
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* Reads what comes; a byte into `done` for each round that has come in full. */
static void subscribe(const struct sockaddr_in* address, int subscribers, int done) {
  const int poller = must(epoll_create1(0), "epoll_create1");
  for (int i = 0; i < subscribers; i++) {
    const int fd = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
    must(connect(fd, (const struct sockaddr*)address, sizeof *address), "connect");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    must(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }
  struct epoll_event events[kEvents];
  char bytes[4096];
  for (long received = 0;;) {
    const int ready = must(epoll_wait(poller, events, kEvents, -1), "epoll_wait");
    for (int i = 0; i < ready; i++) {
      const int count = must((int)read(events[i].data.fd, bytes, sizeof bytes), "read");
      if (count == 0) exit(0);
      received += count;
    }
    for (; received >= (long)kFrameBytes * subscribers; received -= (long)kFrameBytes * subscribers) {
      must((int)write(done, bytes, 1), "write");
    }
  }
}

static void publish(const int* sockets, int subscribers, int rounds, int done) {
  const char frame[kFrameBytes] = {0};
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < subscribers; i++) must((int)send(sockets[i], frame, sizeof frame, MSG_NOSIGNAL), "send");
    char byte;
    must((int)read(done, &byte, 1), "read");
  }
}

int main(int argc, char** argv) {
  const int subscribers = argc > 1 ? atoi(argv[1]) : 1000;
  const int rounds = argc > 2 ? atoi(argv[2]) : 400;
  if (subscribers < 1 || rounds < 1) {
    fprintf(stderr, "usage: publish [SUBSCRIBERS [ROUNDS]]\n");
    return 1;
  }
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  const int listener = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
  must(bind(listener, (struct sockaddr*)&address, size), "bind");
  must(listen(listener, subscribers), "listen");
  must(getsockname(listener, (struct sockaddr*)&address, &size), "getsockname");
  int done[2];
  must(pipe(done), "pipe");
  const pid_t child = must(fork(), "fork");
  if (child == 0) {
    close(done[0]);
    runOn(1);
    subscribe(&address, subscribers, done[1]);
  }
  close(done[1]);
  runOn(0);
  int* sockets = malloc((size_t)subscribers * sizeof *sockets);
  if (sockets == NULL) return 1;
  for (int i = 0; i < subscribers; i++) {
    const int on = 1;
    sockets[i] = must(accept(listener, NULL, NULL), "accept");
    must(setsockopt(sockets[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
  }
  publish(sockets, subscribers, kWarmUpRounds, done[0]);
  const double before = processorMicroseconds();
  publish(sockets, subscribers, rounds, done[0]);
  printf("%.2f us of processor time for each that one gets\n",
         (processorMicroseconds() - before) / rounds / subscribers);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  free(sockets);
  return 0;
}
