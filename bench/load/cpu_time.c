/*
 * Prints the processor time used so far by the processes, as JSON. With the process clock of the operating system:
 * nanoseconds, over all threads including those that have ended, which a sum over /proc/PID/task would miss.
 *
 * Usage: cpu_time PID...
 */
#include "client.h"

int main(int argc, char** argv) {
  int pids[kMaxPids], count = 0;
  for (int i = 1; i < argc && count < kMaxPids; i++) pids[count++] = atoi(argv[i]);
  CpuTime t = cpuTimeOf(pids, count);
  printf("{\"cpuNs\":%llu,\"userTicks\":%llu,\"systemTicks\":%llu}\n", (unsigned long long)t.ns,
         (unsigned long long)t.user, (unsigned long long)t.system);
  return 0;
}
