/*
 * Opens keep-alive connections, each of which makes one request, and holds them. Reads commands, one a line, from
 * standard input: open N     opens N more, prints {"open":TOTAL,"errors":E} check      prints how many the server has
 * closed meanwhile: {"open":TOTAL,"closed":C} and ends, closing all, at the end of its input.
 *
 * Usage: idle PORT
 */
#include "client.h"

int main(int argc, char** argv) {
  if (argc < 2) return fprintf(stderr, "usage: idle PORT\n"), 2;
  int port = atoi(argv[1]);
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
        static Inbox in;
        in.len = 0;
        int fd = fds[open++] = connectTo(port);
        if (!sendRequest(fd) || receiveWhole(fd, &in, 0) != kOk) bad++;
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
