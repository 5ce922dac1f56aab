// permessage-deflate on a session: what was compressed comes out, limits count what is inflated, bombs and rubbish are
// refused, and what is sent inflates to what was said.
#include <random>

#include "test.h"
#include "ws_harness.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

WsOptions deflating(bool takeover = false) {
  WsOptions options;
  options.deflate.enabled = true;
  options.deflate.thresholdBytes = 10;
  options.deflate.serverTakeover = options.deflate.clientTakeover = takeover;
  return options;
}

// The client's side, by zlib itself.
class Compressor {
 public:
  std::string message(std::string_view text) {
    std::vector<uint8_t> out;
    deflater_->deflate(WsWorld::bytesOf(text), true, out);
    return std::string(out.begin(), out.end());
  }
  void forget() { deflater_->reset(); }

 private:
  std::unique_ptr<MessageDeflater> deflater_ = MessageDeflater::create(DeflateOptions{});
};

class Decompressor {
 public:
  std::string message(std::string_view bytes) {
    const std::string whole = std::string(bytes) + std::string("\0\0\xff\xff", 4);
    std::string text;
    std::span<const uint8_t> rest = WsWorld::bytesOf(whole);
    std::vector<uint8_t> buffer(1 << 16);
    for (;;) {
      const Inflater::Step step = inflater_->step(rest, buffer);
      EXPECT(step.ok);
      text.append(reinterpret_cast<const char*>(buffer.data()), step.produced);
      rest = rest.subspan(step.consumed);
      if (!step.ok || (rest.empty() && step.produced < buffer.size())) return text;
    }
  }
  void forget() { inflater_->reset(); }

 private:
  std::unique_ptr<Inflater> inflater_ = Inflater::create(15);
};

// The payloads of what the server sent: heads without masks, one byte or two of length.
std::vector<std::string> payloadsOf(std::string_view sent, std::vector<int>* heads = nullptr) {
  std::vector<std::string> payloads;
  while (!sent.empty()) {
    size_t size = static_cast<uint8_t>(sent[1]);
    size_t at = 2;
    const size_t lengthBytes = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (lengthBytes != 0) size = 0;
    for (size_t i = 0; i < lengthBytes; i++) size = size << 8 | static_cast<uint8_t>(sent[at++]);
    if (heads != nullptr) heads->push_back(static_cast<uint8_t>(sent[0]));
    payloads.emplace_back(sent.substr(at, size));
    sent.remove_prefix(at + size);
  }
  return payloads;
}

std::string sample(size_t size) {
  std::mt19937 random(3);
  std::string text;
  while (text.size() < size) text += "{\"id\":" + std::to_string(random() % 1000) + ",\"name\":\"h\xc3\xa9llo\"}";
  while (text.size() > size || (static_cast<uint8_t>(text.back()) & 0x80)) text.pop_back();
  return text;
}

constexpr FrameForm kCompressed{.rsv = 4};

}  // namespace

TEST("ws deflate: messages in one frame and in fragments, at every split") {
  Compressor compressor;
  const std::string text = sample(900);
  const std::string payload = compressor.message(text);
  const std::string whole = frame(1, payload, kCompressed);
  std::string fragments = frame(1, payload.substr(0, 20), {.fin = false, .rsv = 4}) + frame(9, "p") +
                          frame(0, payload.substr(20, 30), {.fin = false}) + frame(0, payload.substr(50)) +
                          frame(1, "plain");
  for (const std::string& bytes : {whole + frame(1, "plain"), fragments}) {
    for (size_t at = 0; at <= bytes.size(); at++) {
      WsWorld world(deflating());
      WsWorld::Peer& peer = world.connect();
      world.feed(peer, std::string_view(bytes).substr(0, at));
      world.feed(peer, std::string_view(bytes).substr(at));
      const bool pinged = bytes == fragments;
      EXPECT_EQ(world.log,
                std::string(pinged ? "ping p\n" : "") + "text " + std::to_string(text.size()) + " bytes\ntext plain\n");
      EXPECT_EQ(world.messageCount, 2);
    }
  }
}

TEST("ws deflate: an empty message, and a block that is marked as the last") {
  WsWorld world(deflating());
  WsWorld::Peer& peer = world.connect();
  world.feed(peer, frame(1, std::string("\0", 1), kCompressed));
  // RFC 7692 7.2.3.5: "Hello" with BFINAL, and the octet that follows it; then 7.2.3.1, the same without.
  world.feed(peer, frame(1, std::string("\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8), kCompressed));
  world.feed(peer, frame(1, std::string("\xf2\x48\xcd\xc9\xc9\x07\x00", 7), kCompressed));
  EXPECT_EQ(world.log, "text \ntext Hello\ntext Hello\n");
}

TEST("ws deflate: the context is taken over where that was negotiated, and only there") {
  const std::string text = sample(3000);
  Compressor compressor;
  const std::string first = compressor.message(text);
  const std::string second = compressor.message(text);
  EXPECT(second.size() < first.size() / 2);
  WsWorld world(deflating(true));
  WsWorld::Peer& peer = world.connect();
  world.feed(peer, frame(1, first, kCompressed) + frame(1, second, kCompressed));
  EXPECT_EQ(world.log, "text 3000 bytes\ntext 3000 bytes\n");
  WsWorld strict(deflating());
  WsWorld::Peer& refused = strict.connect();
  strict.feed(refused, frame(1, first, kCompressed) + frame(1, second, kCompressed));
  EXPECT(strict.log.starts_with("text 3000 bytes\nfailure 1007"));

  for (const bool takeover : {false, true}) {
    WsWorld sending(deflating(takeover));
    WsWorld::Peer& to = sending.connect();
    for (int i = 0; i < 2; i++) to.session->send(WsWorld::bytesOf(text), text.size(), {.compress = true});
    sending.settle();
    std::vector<int> heads;
    const std::vector<std::string> payloads = payloadsOf(to.transport->sent, &heads);
    EXPECT(heads == (std::vector<int>{0xc1, 0xc1}));
    EXPECT_EQ(payloads[0] == payloads[1], !takeover);
    Decompressor decompressor;
    for (const std::string& payload : payloads) {
      EXPECT(decompressor.message(payload) == text);
      if (!takeover) decompressor.forget();
    }
  }
}

TEST("ws deflate: what is small, or told not to, goes as it is; fragments share one stream") {
  WsWorld world(deflating());
  WsWorld::Peer& peer = world.connect();
  peer.session->send(WsWorld::bytesOf("small"), 5, {.compress = true});
  peer.session->send(WsWorld::bytesOf("not compressed"), 14, {});
  const std::string text = sample(40000);
  peer.session->send(WsWorld::bytesOf(std::string_view(text).substr(0, 25000)), 25000,
                     {.compress = true, .more = true});
  peer.session->send(WsWorld::bytesOf(std::string_view(text).substr(25000)), 15000, {.compress = true});
  world.settle();
  std::vector<int> heads;
  const std::vector<std::string> payloads = payloadsOf(peer.transport->sent, &heads);
  EXPECT(heads == (std::vector<int>{0x81, 0x81, 0x41, 0x80}));
  EXPECT_EQ(payloads[0] + payloads[1], "smallnot compressed");
  EXPECT(Decompressor().message(payloads[2] + payloads[3]) == text);
}

TEST("ws deflate: a large message that is submitted in pieces is one frame") {
  for (const bool takeover : {false, true}) {
    WsWorld world(deflating(takeover));
    WsWorld::Peer& peer = world.connect();
    const std::string text = sample(300'000);
    const std::string_view view = text;
    Decompressor decompressor;
    for (int i = 0; i < 2; i++) {
      peer.transport->sent.clear();
      peer.session->send(WsWorld::bytesOf(view.substr(0, 130'000)), text.size(), {.compress = true});
      peer.session->sendRest(WsWorld::bytesOf(view.substr(130'000, 130'000)));
      peer.session->sendRest(WsWorld::bytesOf(view.substr(260'000)));
      world.settle();
      std::vector<int> heads;
      const std::vector<std::string> payloads = payloadsOf(peer.transport->sent, &heads);
      EXPECT(heads == (std::vector<int>{0xc1}));
      EXPECT(decompressor.message(payloads[0]) == text);
      if (!takeover) decompressor.forget();
    }
  }
}

TEST("ws deflate: bombs, rubbish, and text that is not UTF-8 once inflated") {
  Compressor compressor;
  const std::string zeros(50'000'000, '\0');
  const std::string bomb = compressor.message(zeros);
  EXPECT(bomb.size() < 60'000);
  WsOptions options = deflating();
  for (const size_t pieceBytes : {size_t{100}, bomb.size()}) {
    WsWorld world(options);
    WsWorld::Peer& peer = world.connect();
    const std::string bytes = frame(2, bomb, kCompressed);
    for (size_t at = 0; at < bytes.size(); at += pieceBytes)
      world.feed(peer, std::string_view(bytes).substr(at, pieceBytes));
    EXPECT_EQ(world.log,
              "failure 1009 " + std::to_string(static_cast<int>(WsError::UnsupportedMessageLength)) + "\nclosed 0\n");
    EXPECT(world.message.size() <= options.maxPayloadBytes);
  }
  compressor.forget();
  const std::string bad = compressor.message(std::string(100, 'x') + "\xff");
  for (const auto& [payload, error] : {std::pair{std::string("\xff\xff\xff\xff"), WsError::InvalidCompressedData},
                                       std::pair{bad, WsError::InvalidUtf8}}) {
    WsWorld world(options);
    WsWorld::Peer& peer = world.connect();
    world.feed(peer, frame(1, payload, kCompressed));
    EXPECT_EQ(world.log, "failure 1007 " + std::to_string(static_cast<int>(error)) + "\nclosed 0\n");
  }
  WsWorld world(options);
  WsWorld::Peer& peer = world.connect();
  world.feed(peer, frame(1, "x", {.fin = false}) + frame(0, "x", kCompressed));
  EXPECT(world.log.starts_with("failure 1002"));
}

TEST("ws deflate: a publication is compressed once for all, and fits each") {
  WsWorld world(deflating());
  WsWorld::Peer& a = world.connect();
  WsWorld::Peer& b = world.connect();
  a.session->subscribe("t");
  b.session->subscribe("t");
  const std::string text = sample(5000);
  const Publication publication(world.reactor, world.context.streams, world.context.deflated, WsWorld::bytesOf(text),
                                false, true);
  EXPECT(&publication.frame(world.options.deflate) == &publication.frame(world.options.deflate));
  EXPECT(&publication.frame(world.options.deflate) != &publication.frame({}));
  world.topics.publish("t", publication, nullptr);
  world.settle();
  EXPECT(a.transport->sent == b.transport->sent);
  EXPECT(Decompressor().message(payloadsOf(a.transport->sent)[0]) == text);
}
