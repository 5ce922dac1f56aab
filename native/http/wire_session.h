// WireSession: HTTP/1 on one connection for an application that frames its own responses (the drop-in for node:http).
// Reads, parses, times out, batches and sends; what a program can see (heads, the order of responses, the answers to
// errors, when to close) is decided by the application, which is told of everything by the connection's key.
//
// Once the application has been told that the connection is closed, the session is silent, even where the connection
// lingers on. Owned by its connection. Thread: the reactor's.
#pragma once

#include "http/request_reader.h"
#include "http/wire_sink.h"

namespace gammaloop {

class WireSession final : public RequestReader {
 public:
  // `raw`: no HTTP, but bytes both ways from the beginning, as after an upgrade.
  WireSession(Connection& connection, HttpServer& server, HttpContext& context, bool raw);

  // From the connection.
  void onConnected() override { context_.wire.onWireConnected(key()); }
  void onDrained() override;
  void onProgress() override { reportFlushed(); }
  void onFinSent() override;
  void onClosed(CloseReason reason) override;

  // From the application. `bytes` stay valid until the flush phase is over; `flags` are records::kWireWrite...
  void write(std::span<const uint8_t> bytes, uint32_t flags);
  // Returns how many have left; for what has not left, write() is next.
  size_t sendNow(std::span<const uint8_t> bytes);
  // Receives at once; how many bytes. For an application that does so by hand.
  size_t receive(std::span<uint8_t> into);
  void consume(uint32_t byteCount) { openWindow(byteCount); }
  void proceedWith(bool upgraded, bool afterBody);
  void shutdown() { connection_.endOutput(); }
  void destroy(bool reset) { connection_.destroy(CloseReason::Local, reset); }
  void setReading(bool reading, bool byHand);
  void setInactivity(uint32_t timeoutMs);
  // The application wants the bytes of HTTP too, as they come; until an upgrade.
  void tap() { tapped_ = read_ != ReadState::Data; }

  // From the engine.
  // The application has been told that the connection is closed.
  bool isOver() const { return closedReported_; }
  bool isWire() const override { return true; }
  // In the middle of a request, or with a part of the next one's head, after a look at what has come.
  bool isReceiving();
  // After an upgrade: another session takes over, with what was read and not told.
  std::vector<uint8_t> handOver();
  void closeIfIdle() override;
  uint32_t cut() override;

 private:
  // From the reader.
  void onTap(std::span<const uint8_t> bytes) override;
  void onReadable() override { context_.wire.onWireReadable(key()); }
  bool onRequest(const ArrivedRequest& request) override;
  void onBody(std::span<const uint8_t> bytes) override;
  void onBodyEnd(std::span<const HeaderField> trailers, std::span<const uint8_t> bytes) override;
  void onDiscardLimit() override {}  // nothing is dropped here while it could still be wanted
  void onRefused(HttpError error, bool inBody, std::span<const uint8_t> bytes, size_t position) override;
  void onTimeout(SessionError error, std::span<const uint8_t> bytes) override;
  void onInputEnd() override;
  void onLeftover(std::span<const uint8_t> bytes) override;
  void onIdle() override;
  uint64_t ownDeadlineMs() const override;
  void onOwnDeadline(uint64_t nowMs) override;

  void endResponse();
  void closeGracefully();
  void reportFlushed();
  void reportClosed(int error);
  SlabKey key() const { return connection_.key(); }

  uint64_t silentSinceMs_ = 0;      // inactivity counts from here, or from the last byte
  uint64_t toldOfMs_ = UINT64_MAX;  // the last byte before the silence that was told; each is told once
  uint32_t inactivityMs_ = 0;
  uint32_t notifyAt_ = 0;      // the first position that the application waits for, where notifyPending_
  uint32_t lastNotifyAt_ = 0;  // and the last
  bool notifyPending_ = false;
  bool anyRequest_ = false;
  bool failed_ = false;                  // refused or timed out
  HttpError refusal_ = HttpError::None;  // why it was refused
  bool endReported_ = false;
  bool closedReported_ = false;
};

}  // namespace gammaloop
