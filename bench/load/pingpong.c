/*
 * One connection, one request in flight: the latency of a lone client. Two windows after the warm-up: the first blocks
 * in recv, as real clients do, so the client's own wake-up is in the figure; in the second the client spins, so it is
 * not. Prints a line for each.
 *
 * Usage: pingpong PORT WARMUP_MS WINDOW_MS PID...
 */
#include "client.h"

static uint64_t errors, not2xx;

static void window(int fd, uint64_t ns, int flags, Latencies* l) {
  static Inbox in;
  uint64_t now = nowNs(), end = now + ns;
  while (now < end && errors == 0) {
    uint64_t sent = now;
    Answer a = sendRequest(fd) ? receiveWhole(fd, &in, flags) : kBroken;
    now = nowNs();
    if (a == kBroken)
      errors++;
    else if (a == kNot2xx)
      not2xx++;
    else if (l != NULL)
      record(l, now - sent);
  }
}

int main(int argc, char** argv) {
  if (argc < 5) return fprintf(stderr, "usage: pingpong PORT WARMUP_MS WINDOW_MS PID...\n"), 2;
  int pids[kMaxPids], pidCount = 0, fd = connectTo(atoi(argv[1]));
  uint64_t warmupNs = strtoull(argv[2], NULL, 10) * 1000000u, windowNs = strtoull(argv[3], NULL, 10) * 1000000u;
  for (int i = 4; i < argc && pidCount < kMaxPids; i++) pids[pidCount++] = atoi(argv[i]);
  window(fd, warmupNs, 0, NULL);
  for (int spin = 0; spin < 2; spin++) {
    Latencies latencies = {0};
    CpuTime from = cpuTimeOf(pids, pidCount);
    uint64_t openNs = nowNs();
    window(fd, windowNs, spin ? MSG_DONTWAIT : 0, &latencies);
    uint64_t closeNs = nowNs();
    CpuTime to = cpuTimeOf(pids, pidCount);
    printResult(latencies.count, &latencies, closeNs - openNs, errors, not2xx, from, to);
    free(latencies.ns);
  }
  return 0;
}
