/*
 * WebSocket messages, a batch of DEPTH equal ones in flight:
 *   echo      each of COUNT connections sends its batch, and the next when all of it has come back
 *   publish   one connection sends a batch that the server passes on to COUNT others, and the next when all have all of
 * it Every byte that comes is compared with the first answer, which without permessage-deflate must be the message
 * itself. A message that has come is a request in the figures; the latency is that of a batch, to the last byte for the
 * last connection. As in closed_loop.c, the window opens once all connections stand and the warm-up is over.
 *
 * Usage: websocket PORT echo|publish COUNT DEPTH text|binary|deflated PAYLOAD_HEX WARMUP_MS WINDOW_MS PID...
 */
#include "websocket.h"

#include <sys/epoll.h>

typedef struct {
  uint64_t sentNs;
  size_t received; /* of the batch */
  int fd;
} Conn;

static Bytes batch, answer;
static size_t batchAnswerBytes;
static uint64_t errors;

static Bytes fromHex(const char* hex) {
  Bytes bytes = {malloc(strlen(hex) / 2 + 1), strlen(hex) / 2};
  if (bytes.bytes == NULL) die("malloc");
  for (size_t i = 0; i < bytes.size; i++) {
    unsigned value = 0;
    if (sscanf(hex + 2 * i, "%2x", &value) != 1) die("hex");
    bytes.bytes[i] = (unsigned char)value;
  }
  if (bytes.size > 0xffff) die("payload");
  return bytes;
}

static Bytes repeated(Bytes once, size_t times) {
  Bytes many = {malloc(once.size * times), 0};
  if (many.bytes == NULL) die("malloc");
  for (size_t i = 0; i < times; i++, many.size += once.size) memcpy(many.bytes + many.size, once.bytes, once.size);
  return many;
}

static int sendAll(int fd, Bytes bytes) {
  return send(fd, bytes.bytes, bytes.size, MSG_NOSIGNAL) == (ssize_t)bytes.size;
}

/* The first answer sets the example; the others have to be the same. */
static int awaitFirst(int fd) {
  Bytes frame = receiveFrame(fd);
  if (answer.size == 0 && frame.size != 0) {
    answer = repeated(frame, 1);
    return 1;
  }
  return frame.size == answer.size && frame.size != 0 && memcmp(frame.bytes, answer.bytes, frame.size) == 0;
}

/* Answers that come in one piece may begin and end anywhere in it. */
static int isExpected(size_t at, const unsigned char* bytes, size_t size) {
  while (size != 0) {
    size_t offset = at % answer.size, span = answer.size - offset < size ? answer.size - offset : size;
    if (memcmp(bytes, answer.bytes + offset, span) != 0) return 0;
    at += span;
    bytes += span;
    size -= span;
  }
  return 1;
}

/* 1: the batch is complete. */
static int receiveOn(Conn* c) {
  static unsigned char inbox[256 * 1024];
  size_t wanted = batchAnswerBytes - c->received;
  ssize_t n = recv(c->fd, inbox, wanted < sizeof inbox ? wanted : sizeof inbox, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (n <= 0 || !isExpected(c->received, inbox, (size_t)n)) {
    errors++;
    close(c->fd);
    return 0;
  }
  c->received += (size_t)n;
  if (c->received < batchAnswerBytes) return 0;
  c->received = 0;
  return 1;
}

int main(int argc, char** argv) {
  if (argc < 10) {
    fprintf(stderr,
            "usage: websocket PORT echo|publish COUNT DEPTH text|binary|deflated HEX WARMUP_MS WINDOW_MS PID...\n");
    return 2;
  }
  int port = atoi(argv[1]), publishes = strcmp(argv[2], "publish") == 0, count = atoi(argv[3]), depth = atoi(argv[4]);
  int deflated = strcmp(argv[5], "deflated") == 0;
  int first = (strcmp(argv[5], "binary") == 0 ? kFinBinary : kFinText) | (deflated ? kRsv1 : 0);
  Bytes payload = fromHex(argv[6]), frame = maskedFrame(first, payload);
  batch = repeated(frame, (size_t)depth);
  Window window = windowOf(argv + 7, argc - 7);
  raiseFileLimit();
  Conn* conns = calloc((size_t)count, sizeof *conns);
  int ep = epoll_create1(EPOLL_CLOEXEC);
  if (conns == NULL || ep < 0) die("start");

  const char* path = publishes ? "/subscribe" : "/";
  for (int i = 0; i < count; i++) {
    Conn* c = &conns[i];
    c->fd = connectTo(port);
    if (!upgrade(c->fd, path, deflated)) die("handshake");
    if (!publishes && !(sendAll(c->fd, frame) && awaitFirst(c->fd))) die("first answer");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) < 0) die("epoll_ctl");
  }
  int publisher = -1;
  if (publishes) {
    publisher = connectTo(port);
    if (!upgrade(publisher, "/publish", deflated) || !sendAll(publisher, frame)) die("publisher");
    for (int i = 0; i < count; i++) {
      if (!awaitFirst(conns[i].fd)) die("first publication");
    }
  }
  int isSame = answer.size >= payload.size &&
               memcmp(answer.bytes + answer.size - payload.size, payload.bytes, payload.size) == 0;
  if ((answer.bytes[0] & kRsv1) != (deflated ? kRsv1 : 0) || (!deflated && !isSame)) {
    errno = EPROTO;
    die("not the message that was sent");
  }
  batchAnswerBytes = answer.size * (size_t)depth;

  uint64_t messages = 0, now = window.startNs = nowNs();
  Latencies latencies = {0};
  int waiting = count; /* of a publication: those that do not have it yet */
  for (int i = 0; i < count && !publishes; i++) {
    conns[i].sentNs = nowNs();
    if (!sendAll(conns[i].fd, batch)) errors++;
  }
  uint64_t publishedNs = nowNs();
  if (publishes && !sendAll(publisher, batch)) errors++;
  for (;;) {
    static struct epoll_event ready[512];
    int n = epoll_wait(ep, ready, 512, 100);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
      Conn* c = ready[i].data.ptr;
      if (!receiveOn(c)) continue;
      if (window.openNs != 0) messages += (uint64_t)depth;
      if (!publishes) {
        now = nowNs();
        if (window.openNs != 0) record(&latencies, now - c->sentNs);
        c->sentNs = now;
        if (!sendAll(c->fd, batch)) errors++;
      } else if (--waiting == 0) {
        now = nowNs();
        if (window.openNs != 0) record(&latencies, now - publishedNs);
        publishedNs = now;
        waiting = count;
        if (!sendAll(publisher, batch)) errors++;
      }
    }
    if (windowIsOver(&window, nowNs())) break;
  }
  printResult(messages, &latencies, &window, errors, 0);
  return 0;
}
