// Connection: one stream on a reactor: reads into a session, queues and sends what the session writes,
// half-closes, lingers, closes. Knows no protocol, nor what carries the bytes. Owned by its reactor's slab; owns its
// transport and its session. Thread: the reactor's.
//
// States (the only order is downward):
//   Connecting  a connection that we make; nothing can be written yet
//   Open        reading and writing
//   PeerEnded   the peer has sent FIN; writing goes on
//   Lingering   we have sent FIN after the last byte; input is read and dropped until the peer's FIN or the deadline
//   Closed      the descriptor is gone; the object is freed at the end of the reactor's turn
// Beside them, endOutput() sends FIN while reading goes on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/intrusive_list.h"
#include "reactor/backlog.h"
#include "reactor/slab.h"
#include "reactor/timer_wheel.h"
#include "reactor/transport.h"
#include "sys/poller.h"
#include "sys/sockets.h"

namespace gammaloop {

class Connection;
class Reactor;

enum class ConnectionState : uint8_t { Connecting, Open, PeerEnded, Lingering, Closed };

enum class CloseReason : uint8_t {
  PeerClosed,  // FIN, and nothing was left to say
  PeerReset,   // ECONNRESET, EPIPE, a hang-up
  Local,       // the session asked for it
  Failed,      // another system call failed
};

// The protocol on a connection. A session may close its connection inside any of these; onClosed is the last call it
// gets.
class Session {
 public:
  virtual ~Session() = default;
  // The connection that we have made is there. (Where it fails: onClosed alone, with Connection::error.)
  virtual void onConnected() {}
  // `bytes` are void after the call: the session keeps what it has not used.
  virtual void onBytes(std::span<const uint8_t> bytes) = 0;
  // Before a read. How many of the bytes to come belong together, and go on as they are: this read may land where the
  // application will have them, and brings no more then. kNoRead: not now; reading was paused.
  static constexpr size_t kNoRead = SIZE_MAX;
  virtual size_t beforeRead() { return 0; }
  // The peer has sent FIN: no more bytes will come.
  virtual void onEndOfStream() = 0;
  // Everything written has been handed to the kernel, or the queue has fallen below the low watermark.
  virtual void onDrained() = 0;
  // Some of what was written has been handed to the kernel, and the queue is still above the low watermark.
  virtual void onProgress() {}
  // FIN has left, by endOutput() or as lingering begins. (Where the descriptor is closed at once: onClosed alone.)
  virtual void onFinSent() {}
  // The deadline set with setDeadline() has passed.
  virtual void onDeadline(uint64_t nowMs) = 0;
  virtual void onClosed(CloseReason reason) = 0;
  // The server is closing. Asked only of the session that took a connection over from one of the server's.
  virtual void onServerClosing() {}
  virtual bool isWebSocket() const { return false; }
};

struct DirtyTag {};
struct ClosedTag {};

class Connection : public ListNode<DirtyTag>, public ListNode<ClosedTag>, public TimerNode {
 public:
  static constexpr uint32_t kWriteLowWaterBytes = 64 * 1024;

  Connection(SlabKey key, Reactor& reactor, std::unique_ptr<Transport> transport, const Endpoint& peer);

  Result<void> open() { return transport_->open(key_); }
  void start(std::unique_ptr<Session> session) { session_ = std::move(session); }
  // After start(), where the descriptor's connect() has only begun.
  void awaitConnect();
  // For the session that takes over, and is started next.
  std::unique_ptr<Session> giveUpSession() { return std::move(session_); }

  SlabKey key() const { return key_; }
  int fd() const { return transport_->fd(); }  // -1: fed
  const Endpoint& peer() const { return peer_; }
  ConnectionState state() const { return state_; }
  bool isWritable() const { return state_ == ConnectionState::Open || state_ == ConnectionState::PeerEnded; }
  Session* session() { return session_.get(); }
  Reactor& reactor() { return reactor_; }
  uint32_t sentBytes() const { return sentBytes_; }  // handed to the transport so far, modulo 2^32
  uint64_t receivedBytes() const { return receivedBytes_; }
  uint64_t lastActivityMs() const { return lastActivityMs_; }  // when bytes came or went last
  int error() const { return error_; }                         // the errno that broke the connection; 0: none did
  // Whether it keeps the process alive.
  void setHolding(bool holding);

  // Writing. Nothing is sent before the reactor's flush phase: all writes of a turn leave in one system call.
  // `size` bytes of the batch's memory to be filled in by the caller; commit() the part that was used before anything
  // else is written.
  uint8_t* reserve(size_t size);
  void commit(size_t size);
  void write(std::span<const uint8_t> bytes);
  // The same without a copy: `bytes` stay valid until the flush phase is over.
  void writeStable(std::span<const uint8_t> bytes);
  // Of what many connections are sent: those that have to keep it keep one copy between them.
  void writeShared(SharedFrame& frame);
  // At once, from where they stand: how many the kernel has taken. 0 where something waits before them, or that broke
  // the connection.
  size_t sendNow(std::span<const uint8_t> bytes);
  // Into the session's own memory, past onBytes: how many have come. 0: none, now or ever; the session is told as of
  // any read.
  size_t receive(std::span<uint8_t> into);
  // Written and not yet handed to the kernel.
  size_t queuedBytes() const { return (backlog_ == nullptr ? 0 : backlog_->size()) + segmentBytes_; }

  // Reading stops (backpressure) and goes on again.
  void pauseReading() { setReading(false); }
  void resumeReading() { setReading(true); }

  // The one deadline of a connection; the session decides what it means. 0: none.
  void setDeadline(uint64_t deadlineMs);

  // Closing. After the queue has been sent: at once where the input is known to be clean (`lingerMs` 0), else by FIN
  // and reading on for up to lingerMs, so that the peer gets the answer before a reset.
  void closeAfterFlush(uint32_t lingerMs);
  bool isClosingAfterFlush() const { return closeAfterFlush_; }
  // FIN after the queue has been sent; reading goes on. What is written from now on is dropped.
  void endOutput();
  bool isOutputEnded() const { return outputEnded_; }
  // At once; with RST where `reset`.
  void destroy(CloseReason reason, bool reset);

  // Called by the reactor.
  void onReady(uint8_t readiness);
  void readOnce();
  // The last read was of a large body, and took all there was room for.
  bool mayReadOn() const { return filled_ && reading_ && state_ == ConnectionState::Open; }
  void flush();
  void expire(uint64_t nowMs);

  // A transport that has no descriptor: what happened to it. `error` is an errno, 0 for an orderly end.
  void onFed(std::span<const uint8_t> bytes);
  void onFedEnd();
  void onFedClosed(int error);
  void onFedSent(uint32_t byteCount);

 private:
  // A stretch of batch memory waiting to be sent; stands in batch memory itself.
  struct alignas(16) Segment {
    const uint8_t* data;
    size_t size;
    Segment* next;
    SharedFrame* shared;  // all of which it is; null: bytes of this connection alone
  };

  bool mayWrite() const { return isWritable() && !closeAfterFlush_ && !endAfterFlush_; }
  void addSegment(std::span<const uint8_t> bytes, SharedFrame* shared);
  size_t receiveInto(std::span<uint8_t> buffer);
  void keepUnsent(size_t sent);
  void consumeBacklog(size_t byteCount);
  void setReading(bool reading);
  void updateInterest();
  void finishConnecting();
  void onEndOfStream();
  void onHangup(uint8_t readiness);
  void breakWith(int error);
  void breakOutput(int error);
  void finishOutput();
  void finishClosing();
  void close(CloseReason reason, TransportClose how);

  Reactor& reactor_;
  std::unique_ptr<Session> session_;
  Segment* firstSegment_ = nullptr;
  Segment* lastSegment_ = nullptr;
  size_t segmentBytes_ = 0;
  std::unique_ptr<Backlog> backlog_;  // null: nothing waits
  std::unique_ptr<Transport> transport_;
  uint64_t lastActivityMs_;
  Endpoint peer_;
  SlabKey key_;
  uint64_t receivedBytes_ = 0;
  uint32_t sentBytes_ = 0;
  uint32_t lingerMs_ = 0;
  int error_ = 0;
  ConnectionState state_ = ConnectionState::Open;
  Interest interest_ = Interest::Read;
  bool reading_ = true;
  bool filled_ = false;
  bool wantsWrite_ = false;
  bool closeAfterFlush_ = false;
  bool endAfterFlush_ = false;
  bool outputEnded_ = false;
  bool holding_ = false;

  friend class Reactor;
};

}  // namespace gammaloop
