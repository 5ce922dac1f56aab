/* Used by scripts/check-kqueue.mjs only: what libc++ asks of FreeBSD's <osreldate.h>. */
#pragma once
#define __FreeBSD_version 1400097
