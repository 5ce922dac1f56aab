/* Used by scripts/check-kqueue.mjs only: what libc++ asks of FreeBSD's <sys/endian.h>. */
#pragma once
#define _LITTLE_ENDIAN 1234
#define _BIG_ENDIAN 4321
#define _BYTE_ORDER _LITTLE_ENDIAN
