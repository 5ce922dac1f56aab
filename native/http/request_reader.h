// RequestReader: the reading half of an HTTP/1 session: bytes become heads, bodies and trailers, within the server's
// limits and timeouts. What to do about them is the session's (the hooks below); this class answers nothing.
//
// States:  Head -> (Fixed | Chunked) -> Head ...; Stopped once no further request is wanted (what still comes is
// dropped). Where upgrades are held: Held after such a head, until proceed() says Data (no more HTTP) or goes on.
// A reader that cannot go on (too many requests in flight, too much unsent, no room towards the application, a closed
// body window, held, paused) keeps what it has read in input_, pauses reading, and goes on in resume().
//
// Thread: the reactor's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/input_buffer.h"
#include "http/chunked_decoder.h"
#include "http/served_session.h"
#include "reactor/connection.h"

namespace gammaloop {

class RequestReader : public ServedSession, public Stallable {
 public:
  // A body that nobody reads is read and dropped up to this many bytes, so that the connection can be kept.
  static constexpr uint64_t kMaxDiscardBytes = 256 * 1024;
  // A body that arrived with its head travels in the same record up to this size.
  static constexpr uint64_t kMaxCompleteBodyBytes = 64 * 1024;

  // From the connection.
  void onBytes(std::span<const uint8_t> bytes) final;
  size_t beforeRead() final;
  void onEndOfStream() final;
  void onDeadline(uint64_t nowMs) final;

  // From the engine.
  void resume() final;
  uint32_t inFlight() const { return inFlight_; }

 protected:
  enum class ReadState : uint8_t { Head, Fixed, Chunked, Stopped, Held, Data };

  RequestReader(Connection& connection, HttpServer& server, HttpContext& context, bool holdsUpgrades);

  // All that is read, where tapped_.
  virtual void onTap(std::span<const uint8_t>) {}
  // There is something to read, where byHand_.
  virtual void onReadable() {}
  // Hooks: what was read. Bytes are void after the call.
  // False: no room towards the application; the same request comes again. May set stopAfterRequest_.
  virtual bool onRequest(const ArrivedRequest& request) = 0;
  virtual void onBody(std::span<const uint8_t> bytes) = 0;  // also what is read in Data
  virtual void onBodyEnd(std::span<const HeaderField> trailers, std::span<const uint8_t> bytes) = 0;
  // A body that nobody reads is longer than kMaxDiscardBytes.
  virtual void onDiscardLimit() = 0;
  // Nothing more will be read. `position`: how far `bytes` was understood.
  virtual void onRefused(HttpError error, bool inBody, std::span<const uint8_t> bytes, size_t position) = 0;
  // Likewise. `bytes`: what there was of the head.
  virtual void onTimeout(SessionError error, std::span<const uint8_t> bytes) = 0;
  // The peer has sent FIN: at once; and once all that came before was read.
  virtual void onFin() {}
  virtual void onInputEnd() = 0;
  // What came after the last request that was wanted; it is dropped.
  virtual void onLeftover(std::span<const uint8_t>) {}
  // No request came within the keep-alive timeout.
  virtual void onIdle() = 0;
  // A deadline of the session's own: UINT64_MAX for none.
  virtual uint64_t ownDeadlineMs() const = 0;
  virtual void onOwnDeadline(uint64_t nowMs) = 0;

  // For the session.
  uint64_t nowMs() const;
  void becomeIdle();
  // A connection on which no byte has come yet must not stay that way without end.
  void awaitFirstRequest();
  void rearm();
  void startBodyRate();
  void openWindow(uint32_t byteCount);
  // Tells of it, with all of the bytes in hand.
  void refuse(HttpError error, bool inBody, std::span<const uint8_t> bytes, size_t position);
  // Stops reading for good: drops what comes.
  void stopReading();
  void setPaused(bool paused);
  // No HTTP from here on.
  void beginData();
  // After a held upgrade; `afterBody`: its body is read first.
  void proceed(bool upgraded, bool afterBody);
  // The same, without going on at once: the request was answered like any other.
  void release();
  bool isInBody() const { return read_ == ReadState::Fixed || read_ == ReadState::Chunked; }
  // In the middle of a request.
  bool isInMessage() const;
  // Between two requests, with nothing of the next.
  bool isBetween() const { return inFlight_ == 0 && read_ == ReadState::Head && input_.empty(); }

  HttpContext& context_;
  InputBuffer input_;
  uint64_t bodyRemaining_ = 0;
  uint32_t inFlight_ = 0;  // requests that are not answered; the session counts
  ReadState read_ = ReadState::Head;
  bool blocked_ = false;
  bool bodyWanted_ = false;  // false: what comes of the body is dropped
  bool stopAfterRequest_ = false;
  bool inputEnded_ = false;
  bool tapped_ = false;
  bool byHand_ = false;  // what comes in Data is received by the application itself

 private:
  // In the order of the flow. Each takes the unread bytes and returns how many it used; 0: it needs more, or cannot go
  // on.
  size_t process(std::span<const uint8_t> bytes);
  size_t readHead(std::span<const uint8_t> bytes);
  void startHeadDeadline(uint64_t startMs);
  size_t emptyLines(std::span<const uint8_t> bytes);
  bool headMayBeComplete(std::span<const uint8_t> bytes) const;
  size_t beginRequest(const RequestHead& head, std::span<const uint8_t> bytes);
  size_t readFixed(std::span<const uint8_t> bytes);
  size_t readChunked(std::span<const uint8_t> bytes);
  size_t readData(std::span<const uint8_t> bytes);
  size_t bodyAllowance();
  void deliverBody(std::span<const uint8_t> bytes);
  void endBody(std::span<const HeaderField> trailers, std::span<const uint8_t> bytes);
  void timeOut(SessionError error);
  bool mustWait() const;
  void block();

  std::unique_ptr<ChunkedDecoder> decoder_;
  uint64_t bodyReceived_ = 0;
  uint64_t idleDeadlineMs_ = 0;
  uint64_t headDeadlineMs_ = 0;
  uint64_t bodyDeadlineMs_ = 0;
  uint64_t rateDeadlineMs_ = 0;
  uint64_t rateBytes_ = 0;
  uint64_t requestStartMs_ = 0;
  uint64_t discarded_ = 0;
  int64_t bodyWindow_ = 0;
  size_t used_ = 0;       // of the bytes in hand: processed
  size_t scanned_ = 0;    // of a partial head: looked at for its end
  size_t reparseAt_ = 0;  // of a partial head: parsed again at this size at the latest
  ReadState afterHold_ = ReadState::Head;
  const bool holdsUpgrades_;
  bool paused_ = false;
  bool dataAfterBody_ = false;
};

}  // namespace gammaloop
