/*
 * What the C load clients share: connecting, a minimal reader of answers, the processor time of another process, a
 * latency record. A client sends one request on a connection and waits for the whole answer before the next (closed
 * loop), over IPv4 loopback.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char kRequest[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
enum { kReadBytes = 4096, kMaxPids = 64 };

static inline void die(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline uint64_t clockNs(clockid_t id) {
  struct timespec t;
  if (clock_gettime(id, &t) < 0) return 0;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t nowNs(void) { return clockNs(CLOCK_MONOTONIC); }

typedef struct {
  uint64_t ns;           /* processor time of all threads, also ended ones */
  uint64_t user, system; /* the same from /proc/PID/stat, in clock ticks */
} CpuTime;

/* The sum over the processes. One that has ended counts 0. */
static inline CpuTime cpuTimeOf(const int* pids, int count) {
  CpuTime sum = {0, 0, 0};
  for (int i = 0; i < count; i++) {
    clockid_t id;
    if (clock_getcpuclockid(pids[i], &id) == 0) sum.ns += clockNs(id);
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pids[i]);
    FILE* f = fopen(path, "r");
    if (f == NULL) continue;
    size_t n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = 0;
    char* p = strrchr(line, ')'); /* the name may contain anything */
    unsigned long user, system;
    if (p != NULL && sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2) {
      sum.user += user;
      sum.system += system;
    }
  }
  return sum;
}

/* What is measured: after the warm-up, for so long; the server's processor time at both edges. */
typedef struct {
  uint64_t warmupNs, lengthNs;
  int pids[kMaxPids], pidCount;
  uint64_t startNs, openNs, closedNs; /* openNs is 0 until it opens */
  CpuTime from, to;
} Window;

/* `args`: WARMUP_MS WINDOW_MS PID... */
static inline Window windowOf(char** args, int count) {
  Window w = {.warmupNs = strtoull(args[0], NULL, 10) * 1000000u, .lengthNs = strtoull(args[1], NULL, 10) * 1000000u};
  for (int i = 2; i < count && w.pidCount < kMaxPids; i++) w.pids[w.pidCount++] = atoi(args[i]);
  return w;
}

static inline void openWindow(Window* w) {
  w->from = cpuTimeOf(w->pids, w->pidCount);
  w->openNs = nowNs();
}

static inline void closeWindow(Window* w) {
  w->to = cpuTimeOf(w->pids, w->pidCount);
  w->closedNs = nowNs();
}

/* Opens it when the warm-up is over, and closes it in its time. 1: it is closed. */
static inline int windowIsOver(Window* w, uint64_t now) {
  if (w->openNs == 0) {
    if (now - w->startNs >= w->warmupNs) openWindow(w);
    return 0;
  }
  if (now - w->openNs < w->lengthNs) return 0;
  closeWindow(w);
  return 1;
}

static inline void raiseFileLimit(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) < 0) die("getrlimit");
  r.rlim_cur = r.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &r) < 0) die("setrlimit");
}

static inline int connectTo(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in a = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd < 0 || connect(fd, (struct sockaddr*)&a, sizeof a) < 0) die("connect");
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct timeval tenSeconds = {.tv_sec = 10};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tenSeconds, sizeof tenSeconds);
  return fd;
}

static inline int sendRequest(int fd) {
  return send(fd, kRequest, sizeof kRequest - 1, MSG_NOSIGNAL) == (ssize_t)(sizeof kRequest - 1);
}

typedef enum { kPartial, kOk, kNot2xx, kBroken } Answer;

typedef struct {
  char data[kReadBytes];
  size_t len;
} Inbox;

/* Judges what has come. Only answers with content-length (or 204) and within kReadBytes are understood; anything else
 * is kBroken. */
static inline Answer judge(Inbox* in) {
  if (in->len < 16) return kPartial;
  char* end = memmem(in->data, in->len, "\r\n\r\n", 4);
  if (end == NULL) return in->len == sizeof in->data ? kBroken : kPartial;
  end += 4;
  size_t body = SIZE_MAX;
  for (char* p = in->data; (p = memchr(p, '\n', (size_t)(end - p))) != NULL;) {
    p++;
    if ((*p | 0x20) == 'c' && strncasecmp(p, "content-length:", 15) == 0) body = strtoul(p + 15, NULL, 10);
  }
  if (body == SIZE_MAX) return kBroken;
  size_t have = in->len - (size_t)(end - in->data);
  if (have < body) return in->len == sizeof in->data ? kBroken : kPartial;
  if (have > body) return kBroken;
  in->len = 0;
  return memcmp(in->data, "HTTP/1.1 2", 10) == 0 ? kOk : kNot2xx;
}

/* One recv, then judge. kPartial where nothing has come yet. */
static inline Answer receive(int fd, Inbox* in, int flags) {
  ssize_t n = recv(fd, in->data + in->len, sizeof in->data - in->len, flags);
  if (n < 0 && (errno == EINTR || (errno == EAGAIN && (flags & MSG_DONTWAIT)))) return kPartial;
  if (n <= 0) return kBroken;
  in->len += (size_t)n;
  return judge(in);
}

static inline Answer receiveWhole(int fd, Inbox* in, int flags) {
  Answer a;
  do a = receive(fd, in, flags);
  while (a == kPartial);
  return a;
}

/* Latencies in ns, kept whole and sorted at the end: exact quantiles. */
typedef struct {
  uint32_t* ns;
  size_t count, room;
} Latencies;

static inline void record(Latencies* l, uint64_t ns) {
  if (l->count == l->room) {
    l->room = l->room ? l->room * 2 : 1 << 20;
    l->ns = realloc(l->ns, l->room * sizeof *l->ns);
    if (l->ns == NULL) die("realloc");
  }
  l->ns[l->count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static inline int compareNs(const void* a, const void* b) {
  uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
  return x < y ? -1 : x > y;
}

static inline double quantileUs(const Latencies* l, double q) {
  return l->count == 0 ? 0 : l->ns[(size_t)(q * (double)(l->count - 1))] / 1000.0;
}

/* The one line of JSON that every client prints. */
static inline void printResult(uint64_t requests, Latencies* l, const Window* w, uint64_t errors, uint64_t not2xx) {
  qsort(l->ns, l->count, sizeof *l->ns, compareNs);
  printf(
      "{\"requests\":%llu,\"seconds\":%.6f,\"errors\":%llu,\"non2xx\":%llu,\"cpuNs\":%llu,\"userTicks\":%llu,"
      "\"systemTicks\":%llu,"
      "\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}\n",
      (unsigned long long)requests, (double)(w->closedNs - w->openNs) / 1e9, (unsigned long long)errors,
      (unsigned long long)not2xx, (unsigned long long)(w->to.ns - w->from.ns),
      (unsigned long long)(w->to.user - w->from.user), (unsigned long long)(w->to.system - w->from.system),
      quantileUs(l, 0.5), quantileUs(l, 0.9), quantileUs(l, 0.99), quantileUs(l, 1));
}
