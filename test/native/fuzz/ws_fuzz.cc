// A WebSocket session under bytes of a client, split anywhere, with limits, permessage-deflate, a slow reader, no room,
// pauses and sends in between. Beside what the sanitizers see: whatever the split, the application is told the same;
// what a session holds is bounded; the end is told once.
//
// Input: byte 0 options, byte 1 how the rest is split and what happens between the pieces, then the client's bytes.
// Frames may come unmasked in the input (bit 6 of byte 0): they are masked here, so that the fuzzer need not learn to.
#include <cstdint>
#include <cstring>

#include "ws_harness.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

WsOptions optionsOf(uint8_t bits) {
  WsOptions options;
  options.maxPayloadBytes = bits & 1 ? 64 : 100'000;
  options.maxFragments = bits & 2 ? 3 : 1024;
  options.maxBufferedBytes = bits & 4 ? 300 : 1'000'000;
  options.deflate.enabled = bits & 8;
  options.deflate.clientTakeover = bits & 16;
  options.deflate.serverTakeover = bits & 32;
  options.deflate.thresholdBytes = 8;
  return options;
}

// [first byte][length byte][payload] becomes a masked frame with the shortest length.
std::string masked(std::string_view input) {
  std::string bytes;
  while (input.size() >= 2) {
    const auto first = static_cast<uint8_t>(input[0]);
    const size_t size = std::min<size_t>(static_cast<uint8_t>(input[1]), input.size() - 2);
    bytes += frame(first & 0x0f, input.substr(2, size), {.fin = (first & 0x80) != 0, .rsv = first >> 4 & 7});
    input.remove_prefix(2 + size);
  }
  return bytes.append(input);
}

std::string tell(const WsOptions& options, std::string_view bytes, size_t pieceBytes, uint8_t between) {
  WsWorld world(options);
  WsWorld::Peer& peer = world.connect();
  peer.session->subscribe("t");
  if (between & 1) peer.transport->window = 0;
  for (size_t at = 0; at < bytes.size(); at += pieceBytes) {
    if (between & 2) world.room = at / pieceBytes % 3 == 0 ? SIZE_MAX : 0;
    if (between & 4) peer.session->setPaused(at / pieceBytes % 2 == 1 && !peer.transport->closed);
    world.feed(peer, bytes.substr(at, pieceBytes));
    if (peer.transport->closed) break;
    GAMMALOOP_CHECK(world.largestPiece <= 2 * WsSession::kPieceBytes);
    if ((between & 8) && world.closedCount == 0) {
      peer.session->send(WsWorld::bytesOf(bytes.substr(0, 40)), std::min<size_t>(40, bytes.size()),
                         {true, true, false});
      const Publication publication(world.reactor, world.context.streams, world.context.deflated,
                                    WsWorld::bytesOf("published to all"), false, true);
      world.topics.publish("t", publication, nullptr);
      world.settle();
      GAMMALOOP_CHECK(peer.connection->queuedBytes() < options.maxBufferedBytes + 1000);
    }
  }
  if (!peer.transport->closed) {
    world.giveRoom();
    if (!peer.transport->closed) peer.session->setPaused(false);
    world.settle();
  }
  std::string log = world.log;
  if (!peer.transport->closed) peer.connection->destroy(CloseReason::Local, false);
  world.settle();
  GAMMALOOP_CHECK(world.closedCount == 1 && world.belowClosedCount == 1);
  GAMMALOOP_CHECK(world.reactor.connectionCount() == 0 && world.topics.subscriberCount("t") == 0);
  return log;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 8192) return 0;
  const WsOptions options = optionsOf(data[0]);
  const uint8_t between = data[1] >> 4;
  const std::string_view given(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string bytes = data[0] & 64 ? masked(given) : std::string(given);
  if (bytes.empty()) return 0;
  const std::string whole = tell(options, bytes, bytes.size(), 0);
  const std::string split = tell(options, bytes, 1 + (data[1] & 15) * 3, between & 6);
  if (whole != split) std::fprintf(stderr, "whole:\n%s\nsplit:\n%s\n", whole.c_str(), split.c_str());
  GAMMALOOP_CHECK(whole == split);
  if (between & 9) tell(options, bytes, 1 + (data[1] & 15) * 3, between);
  return 0;
}
