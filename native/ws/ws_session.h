// WsSession: a WebSocket of the server's side (RFC 6455, permessage-deflate by RFC 7692) on one connection: bytes
// become messages, and what the application submits becomes frames; limits, pings, timeouts and the close handshake are
// here.
//
// A message that arrived whole in one frame goes straight from the read buffer into the record. Any other is gathered
// and handed over in pieces of kPieceBytes, so that what a session holds is bounded whatever the message's size.
//
// It stands on the session of the request that it came by, which it keeps: that one counts the connection, and hears of
// its end. Owned by its connection. Thread: the reactor's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/input_buffer.h"
#include "base/lazy_vector.h"
#include "reactor/connection.h"
#include "reactor/sink_room.h"
#include "ws/deflate.h"
#include "ws/frame_codec.h"
#include "ws/topics.h"
#include "ws/utf8.h"
#include "ws/ws_sink.h"

namespace gammaloop {

// Times in milliseconds; 0: none, here and in sizes.
struct WsOptions {
  uint32_t maxPayloadBytes = 1024 * 1024;
  uint32_t maxFragments = 1024;
  uint32_t maxBufferedBytes = 1024 * 1024;
  uint32_t idleMs = 120'000;
  uint32_t pingMs = 30'000;
  uint32_t closeMs = 30'000;
  bool autoPong = true;
  bool checksUtf8 = true;
  DeflateOptions deflate;

  bool operator==(const WsOptions&) const = default;
};

class WsSession;
struct EndingTag {};

// A session that ends with this batch, and why.
struct WsEnding : ListNode<EndingTag> {
  WsEnding(WsSession& session, uint16_t code, std::span<const uint8_t> reason)
      : session(session), code(code), reason(reason.begin(), reason.end()) {}

  WsSession& session;
  uint16_t code;
  std::vector<uint8_t> reason;
};

// What all sessions of an engine share.
struct WsContext {
  SinkRoom& room;
  WsSink& sink;
  DeflateStreams streams;
  size_t maxWholeBytes = 64 * 1024;  // of a message that travels in one record
  std::vector<uint8_t> inflated;     // scratch
  std::vector<uint8_t> deflated;     // scratch
  IntrusiveList<WsEnding, EndingTag> ending{};
  std::shared_ptr<const WsOptions> lastOptions{};

  // The application has read all that was told, and answered: sessions that are to end do so now.
  void endThose();
  // One copy for all sessions that come one after the other with the same.
  std::shared_ptr<const WsOptions> settled(const WsOptions& options);
};

// What a send needs to know; the numbers of records::kWsSend...Flag.
struct WsSendFlags {
  bool binary = false;
  bool compress = false;
  bool more = false;  // the message goes on with the next send
};

class WsSession final : public Session, public Stallable, public Subscriber {
 public:
  static constexpr size_t kPieceBytes = 16 * 1024;

  // `below`: the session that it takes the connection over from. `topics`: null where there are none.
  WsSession(Connection& connection, WsContext& context, const WsOptions& options, TopicTable* topics,
            std::unique_ptr<Session> below);
  ~WsSession() override;

  // Once it is the connection's session: `bytes` came behind the handshake. `more`: so does what the next call gives.
  void begin(std::span<const uint8_t> bytes, bool more = false);

  // From the connection.
  void onBytes(std::span<const uint8_t> bytes) override;
  void onEndOfStream() override;
  void onDrained() override;
  void onProgress() override;
  void onFinSent() override;
  void onDeadline(uint64_t nowMs) override;
  void onClosed(CloseReason reason) override;
  void onServerClosing() override { close(1001, {}); }
  bool isWebSocket() const override { return true; }
  void resume() override;

  // From the application. Bytes stay valid until the flush phase is over. What comes after the end is dropped.
  // `totalBytes`: of the frame, where the rest of it follows by sendRest.
  void send(std::span<const uint8_t> bytes, uint64_t totalBytes, WsSendFlags flags);
  void sendRest(std::span<const uint8_t> bytes);
  void sendPing(std::span<const uint8_t> payload) { sendControl(Opcode::Ping, payload); }
  void sendPong(std::span<const uint8_t> payload) { sendControl(Opcode::Pong, payload); }
  void close(uint16_t code, std::span<const uint8_t> reason);
  void terminate() { connection_.destroy(CloseReason::Local, false); }
  void setPaused(bool paused);
  // From now on it is told what was read, too, as kWireData.
  void tap() { tapped_ = true; }
  void notifyDrained();
  void notifyFlushed(uint32_t number);
  void subscribe(std::string_view topic);
  void unsubscribe(std::string_view topic);

  // From the topics.
  void deliver(const Publication& publication) override;
  void settleDelivery() override;

  // From WsContext.
  void end();

  bool isOver() const { return closedTold_; }
  Session& below() { return *below_; }
  TopicTable* topics() { return topics_; }

 private:
  // Reading, in the order of the flow (ws_session.cc). Each returns how many of the bytes it used; 0: it needs more, or
  // cannot go on.
  size_t process(std::span<const uint8_t> bytes);
  size_t readHead(std::span<const uint8_t> bytes);
  size_t readControl(const FrameHead& head, std::span<const uint8_t> bytes);
  WsError checkFrame(const FrameHead& head) const;
  size_t readWholeMessage(const FrameHead& head, std::span<const uint8_t> bytes);
  void beginFrame(const FrameHead& head);
  size_t readPayload(std::span<const uint8_t> bytes);
  bool inflate(std::span<const uint8_t> bytes);
  bool take(std::span<const uint8_t> bytes);
  void endFrame();
  void endMessage();
  void tellPiece(bool last);
  void onPeerClose(std::span<const uint8_t> payload);
  void onInputEnd();
  bool hasRoom();
  void block();

  // Sending (ws_session_output.cc).
  bool mayQueue(uint64_t byteCount);
  void sendFrame(Opcode opcode, bool fin, bool rsv1, std::span<const uint8_t> bytes, uint64_t totalBytes);
  void sendCompressed(std::span<const uint8_t> bytes, WsSendFlags flags, Opcode opcode);
  void gather(std::span<const uint8_t> bytes, uint64_t totalBytes, WsSendFlags flags, Opcode opcode);
  void writeDeflated(Opcode opcode, WsSendFlags flags, std::span<const uint8_t> bytes);
  MessageDeflater* ownDeflater();
  void answerPing(std::span<const uint8_t> payload);
  void sendControl(Opcode opcode, std::span<const uint8_t> payload);
  void hold(const Publication& publication);
  void sendCloseFrame(uint16_t code, std::span<const uint8_t> reason);
  void reportFlushed();

  // Ending.
  void fail(WsError error, uint32_t detail = 0);
  void endAfterBatch(uint16_t code, std::span<const uint8_t> reason);
  void finishClosing();
  void reportClosed(int error);

  void rearm();
  uint64_t nowMs() const;
  SlabKey key() const { return connection_.key(); }
  bool isText() const { return messageOpcode_ == Opcode::Text; }

  // Of a message that is being compressed as it comes.
  struct GatheredFrame {
    uint64_t restBytes;
    WsSendFlags flags;
    Opcode opcode;
    std::vector<uint8_t> deflated;
  };
  struct Notification {
    uint32_t position;
    uint32_t number;
  };

  Connection& connection_;
  WsContext& context_;
  TopicTable* topics_;
  std::unique_ptr<Session> below_;
  const std::shared_ptr<const WsOptions> options_;

  InputBuffer input_;
  LazyVector<uint8_t> pending_;  // of the message: taken and not yet told
  std::unique_ptr<Inflater> inflater_;
  std::unique_ptr<MessageDeflater> deflater_;  // takeover, or a message in pieces
  LazyVector<Notification> notifications_;
  std::unique_ptr<std::vector<uint8_t>> held_;  // publications that wait for the end of a message of ours
  std::unique_ptr<GatheredFrame> gathered_;
  std::unique_ptr<WsEnding> endReason_;
  std::unique_ptr<std::vector<uint8_t>> latePong_;  // waits for a shorter queue
  uint64_t remaining_ = 0;                          // of the frame's payload
  uint64_t messageBytes_ = 0;                       // inflated
  uint64_t lastReceivedMs_ = 0;
  uint64_t lastPingMs_ = 0;
  uint64_t closeDeadlineMs_ = 0;
  uint32_t fragments_ = 0;
  uint8_t mask_[4] = {};
  uint8_t phase_ = 0;
  Opcode messageOpcode_ = Opcode::Continuation;  // Continuation: none is under way
  Utf8Checker utf8_;
  bool compressed_ = false;
  bool inFrame_ = false;
  bool lastFrame_ = false;
  bool firstPiece_ = true;
  bool sendingMessage_ = false;     // a message of ours goes on
  bool sendingCompressed_ = false;  // and is compressed
  bool droppingRest_ = false;       // of a frame that was not taken
  bool paused_ = false;
  bool tapped_ = false;
  bool blocked_ = false;
  bool inputEnded_ = false;
  bool inputOver_ = false;  // what comes is dropped
  bool drainWanted_ = false;
  bool closeSent_ = false;
  bool closeReceived_ = false;
  bool closedTold_ = false;
};

}  // namespace gammaloop
