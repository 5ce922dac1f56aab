/*
 * Opens keep-alive connections, each of which makes one request, and holds them; or WebSockets, each of which has one
 * message sent back. Reads commands, one a line, from
 * standard input: open N     opens N more, prints {"open":TOTAL,"errors":E} check      prints how many the server has
 * closed meanwhile: {"open":TOTAL,"closed":C} and ends, closing all, at the end of its input.
 *
 * Usage: idle PORT [websocket]
 */
#include "websocket.h"

static int useOnce(int fd) {
  static Inbox in;
  in.len = 0;
  return sendRequest(fd) && receiveWhole(fd, &in, 0) == kOk;
}

static int useWebSocketOnce(int fd) {
  static unsigned char text[] = "twenty bytes of text";
  Bytes frame = maskedFrame(kFinText, (Bytes){text, sizeof text - 1});
  int sent = upgrade(fd, "/", 0) && send(fd, frame.bytes, frame.size, MSG_NOSIGNAL) == (ssize_t)frame.size;
  free(frame.bytes);
  if (!sent) return 0;
  Bytes answer = receiveFrame(fd);
  return answer.size == sizeof text + 1 && memcmp(answer.bytes + 2, text, sizeof text - 1) == 0;
}

int main(int argc, char** argv) {
  if (argc < 2) return fprintf(stderr, "usage: idle PORT [websocket]\n"), 2;
  int port = atoi(argv[1]), isWebSocket = argc > 2 && strcmp(argv[2], "websocket") == 0;
  raiseFileLimit();
  int* fds = NULL;
  size_t open = 0;
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    unsigned long more;
    unsigned long long bad = 0;
    if (sscanf(line, "open %lu", &more) == 1) {
      fds = realloc(fds, (open + more) * sizeof *fds);
      if (fds == NULL) die("realloc");
      for (unsigned long i = 0; i < more; i++) {
        int fd = fds[open++] = connectTo(port);
        if (!(isWebSocket ? useWebSocketOnce(fd) : useOnce(fd))) bad++;
      }
      printf("{\"open\":%zu,\"errors\":%llu}\n", open, bad);
    } else {
      for (size_t i = 0; i < open; i++) {
        char byte;
        if (recv(fds[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 || errno != EAGAIN) bad++;
      }
      printf("{\"open\":%zu,\"closed\":%llu}\n", open, bad);
    }
    fflush(stdout);
  }
  return 0;
}
