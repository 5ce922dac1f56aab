/*
 * The limit of a selector: 1,000 pipes, of which a random hundred can be read; epoll_wait, and one call of a function
 * for each event. Prints nanoseconds of processor time an event: the median of the rounds.
 *
 * Usage: pipes PIPES READY ROUNDS WAITS
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct Watch {
  void (*callback)(struct Watch* self, uint32_t events);
  int readEnd, writeEnd;
  uint64_t calls;
} Watch;

static void onReady(Watch* self, uint32_t events) { self->calls += events & EPOLLIN; }

static double cpuNs(void) {
  struct timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int ascending(const void* a, const void* b) {
  const double left = *(const double*)a, right = *(const double*)b;
  return (left > right) - (left < right);
}

static void die(const char* what) {
  perror(what);
  exit(1);
}

int main(int argc, char** argv) {
  if (argc < 5) return fprintf(stderr, "usage: pipes PIPES READY ROUNDS WAITS\n"), 2;
  const int pipes = atoi(argv[1]), ready = atoi(argv[2]), rounds = atoi(argv[3]), waits = atoi(argv[4]);
  const struct rlimit files = {(rlim_t)pipes * 2 + 64, (rlim_t)pipes * 2 + 64};
  struct rlimit now;
  if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur < files.rlim_cur) setrlimit(RLIMIT_NOFILE, &files);
  Watch* all = calloc((size_t)pipes, sizeof *all);
  int* order = malloc((size_t)pipes * sizeof *order);
  double* results = malloc((size_t)rounds * sizeof *results);
  struct epoll_event events[1024];
  const int ep = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < pipes; i++) {
    int ends[2];
    if (pipe(ends) < 0) die("pipe");
    all[i] = (Watch){onReady, ends[0], ends[1], 0};
    order[i] = i;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], &event) < 0) die("epoll_ctl");
  }
  srand(1);
  for (int round = 0; round < rounds; round++) {
    char byte = 'x';
    for (int i = 0; i < ready; i++) {
      const int other = i + rand() % (pipes - i), kept = order[i];
      order[i] = order[other];
      order[other] = kept;
      if (write(all[order[i]].writeEnd, &byte, 1) != 1) die("write");
    }
    const double from = cpuNs();
    uint64_t called = 0;
    for (int i = 0; i < waits; i++) {
      const int count = epoll_wait(ep, events, 1024, -1);
      for (int at = 0; at < count; at++) {
        Watch* watch = events[at].data.ptr;
        watch->callback(watch, events[at].events);
        called++;
      }
    }
    results[round] = (cpuNs() - from) / (double)called;
    if (called != (uint64_t)ready * (uint64_t)waits)
      return fprintf(stderr, "%llu events\n", (unsigned long long)called), 1;
    for (int i = 0; i < ready; i++) {
      if (read(all[order[i]].readEnd, &byte, 1) != 1) die("read");
    }
  }
  qsort(results, (size_t)rounds, sizeof *results, ascending);
  printf("%.1f\n", results[rounds / 2]);
  return 0;
}
