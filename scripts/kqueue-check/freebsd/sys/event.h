/* Used by scripts/check-kqueue.mjs only: what FreeBSD's kevent(2) manual page says that <sys/event.h> declares, since the
 * cross-compiler brings no headers of FreeBSD. Never part of a build. */
#pragma once

#include <stdint.h>
#include <time.h>

struct kevent {
  uintptr_t ident;
  short filter;
  unsigned short flags;
  unsigned int fflags;
  int64_t data;
  void* udata;
  uint64_t ext[4];
};

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_USER (-11)
#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_CLEAR 0x0020
#define EV_RECEIPT 0x0040
#define EV_ERROR 0x4000
#define EV_EOF 0x8000
#define NOTE_TRIGGER 0x01000000

extern "C" int kqueue(void);
extern "C" int kevent(int queue, const struct kevent* changes, int changeCount, struct kevent* events, int eventCount,
                      const struct timespec* timeout);
