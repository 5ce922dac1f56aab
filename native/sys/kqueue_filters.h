// The translation between the contract of poller.h and kqueue's filters and flags, as pure functions over a `System`:
// a type with kqueue's event struct and constants. kqueue.cc passes the real ones; the tests pass a faked kernel, and
// so run this code where there is no kqueue.
//
// kqueue has one registration a direction, the contract one a descriptor. So a change of interest becomes up to two
// changes (changesFor), and the two events of one descriptor are merged by the poller after readinessOf.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sys/poller.h"

namespace gammaloop::kqueue {

inline bool wantsRead(Interest interest) { return (static_cast<uint8_t>(interest) & 1) != 0; }
inline bool wantsWrite(Interest interest) { return (static_cast<uint8_t>(interest) & 2) != 0; }

// The changes that lead from one interest to another: 0, 1 or 2.
template <typename System>
struct Changes {
  typename System::Event list[2];
  size_t count = 0;
};

template <typename System>
Changes<System> changesFor(int fd, Interest from, Interest to) {
  Changes<System> changes;
  const auto append = [&](int16_t filter, bool isAdded) {
    // EV_RECEIPT: each change is answered on its own, and no event is taken from the queue by the same call.
    const uint16_t flags = static_cast<uint16_t>((isAdded ? System::kAdd : System::kDelete) | System::kReceipt);
    changes.list[changes.count++] = System::makeEvent(fd, filter, flags, 0);
  };
  if (wantsRead(from) != wantsRead(to)) append(System::kFilterRead, wantsRead(to));
  if (wantsWrite(from) != wantsWrite(to)) append(System::kFilterWrite, wantsWrite(to));
  return changes;
}

// The readiness that one event stands for.
//
// EV_EOF on the read filter is the peer's FIN: readable, and no hang-up, since a half-closed peer still listens (epoll
// says EPOLLIN there too). On the write filter it means that nobody will read any more: a hang-up. fflags carries the
// socket's error, if it has one.
template <typename System>
uint8_t readinessOf(const typename System::Event& event) {
  uint8_t readiness = 0;
  if (event.filter == System::kFilterRead) readiness |= Readiness::kReadable;
  if (event.filter == System::kFilterWrite) readiness |= Readiness::kWritable;
  if ((event.flags & System::kError) != 0) return static_cast<uint8_t>(readiness | Readiness::kError);
  if ((event.flags & System::kEof) != 0) {
    if (event.filter == System::kFilterWrite) readiness |= Readiness::kHangup;
    if (event.fflags != 0) readiness |= Readiness::kError | Readiness::kHangup;
  }
  return readiness;
}

}  // namespace gammaloop::kqueue
