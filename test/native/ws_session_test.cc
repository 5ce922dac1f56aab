// A WebSocket session: messages, limits, malformed frames, the close handshake; the same at every split of the bytes.
#include "test.h"
#include "ws_harness.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

struct Outcome {
  std::string log;
  std::string sent;
  bool ended = false;
  bool operator==(const Outcome&) const = default;
};

Outcome converse(const WsOptions& options, const std::vector<std::string_view>& pieces) {
  WsWorld world(options);
  WsWorld::Peer& peer = world.connect();
  for (const std::string_view piece : pieces) world.feed(peer, piece);
  Outcome outcome{world.log, peer.transport->sent, peer.transport->ended};
  EXPECT(world.largestPiece <= 2 * WsSession::kPieceBytes);
  if (!peer.transport->closed) peer.connection->destroy(CloseReason::Local, false);
  EXPECT_EQ(world.closedCount, 1);
  EXPECT_EQ(world.belowClosedCount, 1);
  world.settle();
  EXPECT_EQ(world.reactor.connectionCount(), 0u);
  return outcome;
}

// Whole, at every point (of long ones: at some), and byte by byte.
void expectOutcome(const std::string& name, const std::string& bytes, const std::string& log, const std::string& sent,
                   const WsOptions& options = {}) {
  const Outcome whole = converse(options, {bytes});
  if (whole.log != log || whole.sent != sent) {
    fail(__FILE__, __LINE__,
         name + ": " + whole.log + "-- expected:\n" + log + "-- sent " + std::to_string(whole.sent.size()) + " of " +
             std::to_string(sent.size()) + " bytes");
    return;
  }
  const std::string_view view = bytes;
  const size_t step = std::max<size_t>(1, bytes.size() / 300);
  for (size_t at = 0; at <= bytes.size(); at += step) {
    const Outcome split = converse(options, {view.substr(0, at), view.substr(at)});
    if (split == whole) continue;
    fail(__FILE__, __LINE__, name + " split at " + std::to_string(at) + ": " + split.log);
    return;
  }
  std::vector<std::string_view> single;
  if (bytes.size() > 3000) return;
  for (size_t at = 0; at < bytes.size(); at++) single.push_back(view.substr(at, 1));
  EXPECT(converse(options, single) == whole);
}

std::string failure(int code, WsError error) {
  return "failure " + std::to_string(code) + " " + std::to_string(static_cast<int>(error)) + "\nclosed 0\n";
}
std::string closeFrame(int code) { return sentFrame(8, closePayload(code)); }

void expectFailure(const std::string& name, const std::string& bytes, WsError error, int code,
                   const WsOptions& options = {}, const std::string& before = "") {
  expectOutcome(name, bytes, before + failure(code, error), closeFrame(code), options);
}

}  // namespace

TEST("ws session: messages of every length form") {
  for (const size_t size : {0, 1, 125, 126, 200}) {
    const std::string payload(size, 'x');
    expectOutcome("text", frame(1, payload), "text " + payload + "\n", "");
    expectOutcome("binary", frame(2, payload), "binary " + payload + "\n", "");
  }
  for (const size_t size : {16383, 16384, 65535, 65536, 65537, 300000}) {
    const std::string log = std::to_string(size) + " bytes\n";
    expectOutcome("long text", frame(1, std::string(size, 'y')), "text " + log, "");
    expectOutcome("long binary", frame(2, std::string(size, '\xfe')), "binary " + log, "");
  }
}

TEST("ws session: fragments, with control frames in between") {
  const std::string bytes = frame(1, "he", {.fin = false}) + frame(9, "p1") + frame(0, "l", {.fin = false}) +
                            frame(10, "p2") + frame(0, "", {.fin = false}) + frame(0, "lo") + frame(2, "after");
  expectOutcome("fragments", bytes, "ping p1\npong p2\ntext hello\nbinary after\n", sentFrame(10, "p1"));
  expectOutcome("empty fragments", frame(1, "", {.fin = false}) + frame(0, "", {.fin = false}) + frame(0, ""),
                "text \n", "");
}

TEST("ws session: pings are answered, unless told not to") {
  const std::string payload(125, 'p');
  expectOutcome("ping", frame(9, payload), "ping " + payload + "\n", sentFrame(10, payload));
  WsOptions options;
  options.autoPong = false;
  expectOutcome("ping unanswered", frame(9, "x"), "ping x\n", "", options);
}

TEST("ws session: the peer closes") {
  expectOutcome("with code and reason", frame(1, "a") + frame(8, closePayload(1000, "bye")) + frame(1, "late"),
                "text a\npeer close 1000 bye\nclosed 0\n", sentFrame(8, closePayload(1000, "bye")));
  expectOutcome("without code", frame(8, ""), "peer close 1005 \nclosed 0\n", sentFrame(8, ""));
  expectOutcome("code of an application", frame(8, closePayload(4999)), "peer close 4999 \nclosed 0\n",
                closeFrame(4999));
}

TEST("ws session: malformed frames, each with its close code") {
  expectFailure("no mask", frame(1, "x", {.masked = false}), WsError::ExpectedMask, 1002);
  for (const int rsv : {1, 2, 3, 5, 6, 7}) {
    expectFailure("rsv2, rsv3", frame(1, "x", {.rsv = rsv}), WsError::UnexpectedRsv23, 1002);
  }
  expectFailure("rsv1 without deflate", frame(1, "x", {.rsv = 4}), WsError::UnexpectedRsv1, 1002);
  expectFailure("rsv1 on a ping", frame(9, "x", {.rsv = 4}), WsError::UnexpectedRsv1, 1002);
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    expectFailure("opcode", frame(opcode, ""), WsError::InvalidOpcode, 1002);
  }
  expectFailure("control fragmented", frame(9, "", {.fin = false}), WsError::ExpectedFin, 1002);
  expectFailure("close fragmented", frame(8, "", {.fin = false}), WsError::ExpectedFin, 1002);
  expectFailure("control too long", frame(9, std::string(126, 'x')), WsError::InvalidControlPayloadLength, 1002);
  expectFailure("length not minimal, 16 bit", frame(2, "x", {.lengthBytes = 2}), WsError::InvalidPayloadLength, 1002);
  expectFailure("length not minimal, 64 bit", frame(2, std::string(200, 'x'), {.lengthBytes = 8}),
                WsError::InvalidPayloadLength, 1002);
  expectFailure("continuation of nothing", frame(0, "x"), WsError::InvalidOpcode, 1002);
  expectFailure("a message inside another", frame(1, "a", {.fin = false}) + frame(2, "b"), WsError::InvalidOpcode,
                1002);
  expectFailure("close of one byte", frame(8, "x"), WsError::InvalidControlPayloadLength, 1002);
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
    expectFailure("close code", frame(8, closePayload(code)), WsError::InvalidCloseCode, 1002);
  }
  expectFailure("close reason not UTF-8", frame(8, closePayload(1000, "\xff")), WsError::InvalidUtf8, 1007);
}

TEST("ws session: a length of 64 bits") {
  const std::string most = std::string("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", 10) + "abcd";
  expectFailure("63 bits", most, WsError::UnsupportedMessageLength, 1009);
  const std::string tooMany = std::string("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10) + "abcd";
  expectFailure("64 bits", tooMany, WsError::InvalidPayloadLength, 1002);
}

TEST("ws session: text that is not UTF-8, in one frame and across fragments at every byte") {
  const std::string good = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf0\x9f\x8e\x89";
  expectOutcome("valid", frame(1, good), "text " + good + "\n", "");
  for (const std::string& bad : {good + "\xed\xa0\x80", good + "\xf4\x90\x80\x80", good + "\xc0\x80", good + "\xce"}) {
    expectFailure("in one frame", frame(1, bad), WsError::InvalidUtf8, 1007);
    for (size_t at = 0; at <= bad.size(); at++) {
      const std::string bytes = frame(1, bad.substr(0, at), {.fin = false}) + frame(0, bad.substr(at));
      expectFailure("in two", bytes, WsError::InvalidUtf8, 1007);
    }
  }
  for (size_t at = 0; at <= good.size(); at++) {
    expectOutcome("valid in two", frame(1, good.substr(0, at), {.fin = false}) + frame(0, good.substr(at)),
                  "text " + good + "\n", "");
  }
  // Told at the first byte that cannot be, not at the end of the frame.
  expectFailure("fails fast", frame(1, std::string("\xff") + std::string(60000, 'x')).substr(0, 60),
                WsError::InvalidUtf8, 1007);
  WsOptions unchecked;
  unchecked.checksUtf8 = false;
  expectOutcome("unchecked", frame(1, "\xff"), "text \xff\n", "", unchecked);
}

TEST("ws session: limits on size and fragments") {
  WsOptions options;
  options.maxPayloadBytes = 1000;
  options.maxFragments = 4;
  expectOutcome("as much as may be", frame(2, std::string(1000, 'x')), "binary 1000 bytes\n", "", options);
  expectFailure("one frame", frame(2, std::string(1001, 'x')), WsError::UnsupportedMessageLength, 1009, options);
  expectFailure("told by the head", frame(2, std::string(70000, 'x')).substr(0, 14), WsError::UnsupportedMessageLength,
                1009, options);
  expectFailure("two frames", frame(2, std::string(600, 'x'), {.fin = false}) + frame(0, std::string(401, 'x')),
                WsError::UnsupportedMessageLength, 1009, options);
  std::string many = frame(2, "x", {.fin = false});
  for (int i = 0; i < 2; i++) many += frame(0, "x", {.fin = false});
  expectOutcome("fragments", many + frame(0, "x"), "binary xxxx\n", "", options);
  expectFailure("too many", many + frame(0, "", {.fin = false}) + frame(0, ""), WsError::TooManyBufferedParts, 1008,
                options);
}

TEST("ws session: a message that trickles in is not kept, nor told byte by byte") {
  WsWorld world;
  WsWorld::Peer& peer = world.connect();
  const std::string bytes = frame(2, std::string(200000, 'x'));
  for (const char& byte : bytes) peer.connection->onFed({reinterpret_cast<const uint8_t*>(&byte), 1});
  EXPECT_EQ(world.log, "binary 200000 bytes\n");
  EXPECT_EQ(world.largestPiece, WsSession::kPieceBytes);
}

TEST("ws session: no room towards the application, and then some") {
  const std::string bytes = frame(1, "one") + frame(9, "p") + frame(1, "two", {.fin = false}) + frame(0, "!") +
                            frame(2, std::string(90000, 'x')) + frame(8, closePayload(1001));
  for (size_t at = 0; at <= 40; at++) {
    WsWorld world;
    WsWorld::Peer& peer = world.connect();
    world.feed(peer, std::string_view(bytes).substr(0, at));
    const std::string before = world.log;
    world.room = 0;
    world.feed(peer, std::string_view(bytes).substr(at));
    EXPECT_EQ(world.log, before);
    EXPECT(peer.transport->wanted == Interest::None);
    world.giveRoom();
    EXPECT_EQ(world.log, "text one\nping p\ntext two!\nbinary 90000 bytes\npeer close 1001 \nclosed 0\n");
  }
}

TEST("ws session: paused and resumed; the end of the stream waits its turn") {
  WsWorld world;
  WsWorld::Peer& peer = world.connect();
  peer.session->setPaused(true);
  world.feed(peer, frame(1, "a") + frame(1, "b"));
  peer.connection->onFedEnd();
  EXPECT_EQ(world.log, "");
  peer.session->setPaused(false);
  EXPECT_EQ(world.log, "text a\ntext b\nclosed 0\n");
}

TEST("ws session: the application closes") {
  WsWorld world;
  WsWorld::Peer& peer = world.connect();
  peer.session->send(WsWorld::bytesOf("last"), 4, {});
  peer.session->close(1001, WsWorld::bytesOf("gone"));
  peer.session->send(WsWorld::bytesOf("dropped"), 7, {});
  world.settle();
  EXPECT_EQ(peer.transport->sent, sentFrame(1, "last") + sentFrame(8, closePayload(1001, "gone")));
  world.feed(peer, frame(1, "still told"));
  EXPECT(!peer.transport->ended);
  world.feed(peer, frame(8, closePayload(1001)));
  EXPECT_EQ(world.log, "text still told\npeer close 1001 \nclosed 0\n");
  EXPECT(peer.transport->ended);
}

TEST("ws session: nobody answers the close frame") {
  WsOptions options;
  options.closeMs = 1000;
  WsWorld world(options);
  WsWorld::Peer& peer = world.connect();
  peer.session->close(1000, {});
  world.settle();
  world.passTime(990);
  EXPECT(!peer.transport->closed);
  world.passTime(50);
  EXPECT_EQ(world.log, "closed 0\n");
}

TEST("ws session: pings after silence, and the idle timeout") {
  WsOptions options;
  options.pingMs = 10'000;
  options.idleMs = 30'000;
  WsWorld world(options);
  WsWorld::Peer& peer = world.connect();
  world.passTime(9'000);
  world.feed(peer, frame(1, "x"));
  world.passTime(9'000);
  EXPECT_EQ(peer.transport->sent, "");
  world.passTime(1'050);
  EXPECT_EQ(peer.transport->sent, sentFrame(9, ""));
  world.passTime(10'050);
  EXPECT_EQ(peer.transport->sent, sentFrame(9, "") + sentFrame(9, ""));
  world.feed(peer, frame(10, ""));
  world.passTime(29'000);
  EXPECT_EQ(world.closedCount, 0);
  world.passTime(1'050);
  EXPECT_EQ(world.log, "text x\npong \n" + failure(1001, WsError::IdleTimeout));
}

TEST("ws session: a slow reader: told of backpressure, and closed at the limit") {
  WsOptions options;
  options.maxBufferedBytes = 100'000;
  WsWorld world(options);
  WsWorld::Peer& peer = world.connect();
  peer.transport->window = 1000;
  const std::string payload(80'000, 'x');
  peer.session->send(WsWorld::bytesOf(payload), payload.size(), {.binary = true});
  peer.session->notifyDrained();
  peer.session->notifyFlushed(7);
  world.settle();
  EXPECT_EQ(world.log, "");
  peer.transport->window = 30'000;
  world.settle();
  EXPECT_EQ(world.log, "drained\n");
  peer.transport->window = SIZE_MAX;
  world.settle();
  EXPECT_EQ(world.log, "drained\nflushed 7\n");
  EXPECT_EQ(peer.transport->sent, sentFrame(2, payload));
  world.log.clear();
  peer.transport->window = 0;
  for (int i = 0; i < 3; i++) {
    peer.session->send(WsWorld::bytesOf(payload), payload.size(), {.binary = true});
    world.settle();
    EXPECT(peer.connection->queuedBytes() <= options.maxBufferedBytes + 200);
  }
  EXPECT_EQ(world.log, "failure 1013 " + std::to_string(static_cast<int>(WsError::BufferedBytesExceeded)) + "\n");
  world.passTime(options.closeMs + 50);
  EXPECT_EQ(world.closedCount, 1);
  EXPECT(peer.transport->closed);
}

TEST("ws session: of pings whose answers nobody reads, only the last is answered") {
  WsWorld world;
  WsWorld::Peer& peer = world.connect();
  peer.transport->window = 0;
  const std::string payload(20'000, 'x');
  peer.session->send(WsWorld::bytesOf(payload), payload.size(), {.binary = true});
  for (int i = 0; i < 500; i++) world.feed(peer, frame(9, std::to_string(i)));
  EXPECT(peer.connection->queuedBytes() < 20'100);
  peer.transport->window = SIZE_MAX;
  world.settle();
  EXPECT(peer.transport->sent == sentFrame(2, payload) + sentFrame(10, "499"));
}

TEST("ws session: what the application answers before it sees the end goes first") {
  WsWorld world;
  WsWorld::Peer& peer = world.connect();
  const std::string bytes = frame(1, "question") + frame(8, closePayload(1000));
  peer.connection->onFed(WsWorld::bytesOf(bytes));
  peer.session->send(WsWorld::bytesOf("answer"), 6, {});
  world.settle();
  EXPECT_EQ(peer.transport->sent, sentFrame(1, "answer") + sentFrame(8, closePayload(1000)));
  EXPECT(peer.transport->ended);
}

TEST("ws session: a message in pieces, and one in fragments") {
  WsWorld world;
  WsWorld::Peer& peer = world.connect();
  const std::string large(200'000, 'z');
  const std::string_view view = large;
  peer.session->send(WsWorld::bytesOf(view.substr(0, 100'000)), large.size(), {.binary = true});
  peer.session->sendRest(WsWorld::bytesOf(view.substr(100'000)));
  peer.session->send(WsWorld::bytesOf("a"), 1, {.more = true});
  peer.session->sendPing(WsWorld::bytesOf("p"));
  peer.session->send(WsWorld::bytesOf("b"), 1, {.more = true});
  peer.session->send({}, 0, {});
  world.settle();
  EXPECT(peer.transport->sent == sentFrame(2, large) + sentFrame(1, "a", {.fin = false}) + sentFrame(9, "p") +
                                     sentFrame(0, "b", {.fin = false}) + sentFrame(0, ""));
}

TEST("ws topics: to all that subscribed, once each, and to nobody after they left") {
  WsWorld world;
  WsWorld::Peer& a = world.connect();
  WsWorld::Peer& b = world.connect();
  WsWorld::Peer& c = world.connect();
  const auto publish = [&](std::string_view topic, std::string_view text, WsSession* from) {
    const Publication publication(world.reactor, world.context.streams, world.context.deflated, WsWorld::bytesOf(text),
                                  false, true);
    world.topics.publish(topic, publication, from);
    world.settle();
  };
  for (WsWorld::Peer* peer : {&a, &b, &c}) peer->session->subscribe("room");
  a.session->subscribe("room");
  a.session->subscribe("other");
  publish("room", "1", a.session);
  publish("other", "2", nullptr);
  b.session->unsubscribe("room");
  publish("room", "3", nullptr);
  c.connection->destroy(CloseReason::Local, false);
  EXPECT_EQ(world.topics.subscriberCount("room"), 1u);
  publish("room", "4", nullptr);
  publish("nobody's", "5", nullptr);
  EXPECT_EQ(a.transport->sent, sentFrame(1, "2") + sentFrame(1, "3") + sentFrame(1, "4"));
  EXPECT_EQ(b.transport->sent, sentFrame(1, "1"));
  EXPECT_EQ(c.transport->sent, sentFrame(1, "1") + sentFrame(1, "3"));
}

TEST("ws topics: a slow reader is closed, the others get everything; a message under way is not broken into") {
  WsOptions options;
  options.maxBufferedBytes = 10'000;
  WsWorld world(options);
  WsWorld::Peer& slow = world.connect();
  WsWorld::Peer& quick = world.connect();
  WsWorld::Peer& busy = world.connect();
  for (WsWorld::Peer* peer : {&slow, &quick, &busy}) peer->session->subscribe("t");
  slow.transport->window = 0;
  busy.session->send(WsWorld::bytesOf("be"), 2, {.more = true});
  const std::string text(4000, 'x');
  std::string all;
  for (int i = 0; i < 5; i++) {
    const Publication publication(world.reactor, world.context.streams, world.context.deflated, WsWorld::bytesOf(text),
                                  false, true);
    world.topics.publish("t", publication, nullptr);
    world.settle();
    all += sentFrame(1, text);
    EXPECT(slow.connection->queuedBytes() < 20'000);
    if (i == 1) busy.session->send(WsWorld::bytesOf("gun"), 3, {});
  }
  EXPECT(quick.transport->sent == all);
  EXPECT(busy.transport->sent == sentFrame(1, "be", {.fin = false}) + sentFrame(0, "gun") + all);
  EXPECT_EQ(world.log, "failure 1013 " + std::to_string(static_cast<int>(WsError::BufferedBytesExceeded)) + "\n");
}
