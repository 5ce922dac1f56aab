/*
 * One connection, one request in flight: the latency of a lone client. Two windows after the warm-up: the first blocks
 * in recv, as real clients do, so the client's own wake-up is in the figure; in the second the client spins, so it is
 * not. Prints a line for each.
 *
 * Usage: pingpong PORT WARMUP_MS WINDOW_MS PID...
 */
#include "client.h"

static uint64_t errors, not2xx;

static void pingFor(uint64_t ns, int fd, int flags, Latencies* l) {
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
  int fd = connectTo(atoi(argv[1]));
  Window window = windowOf(argv + 2, argc - 2);
  pingFor(window.warmupNs, fd, 0, NULL);
  for (int spin = 0; spin < 2; spin++) {
    Latencies latencies = {0};
    openWindow(&window);
    pingFor(window.lengthNs, fd, spin ? MSG_DONTWAIT : 0, &latencies);
    closeWindow(&window);
    printResult(latencies.count, &latencies, &window, errors, not2xx);
    free(latencies.ns);
  }
  return 0;
}
