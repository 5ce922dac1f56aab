// A whole session under a fuzzer: the input is a program of what clients, the application and the clock do to an
// engine, over real sockets. Checked: no sanitizer finding, no broken invariant of the border (engine_harness.h), and
// at the end everything freed and the counters adding up.
//
// Input: two bytes of options, then operations: a byte says which, the bytes behind it are its arguments.
#include <array>

#include "engine_harness.h"
#include "fuzz/input.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

// What a mutation of bytes would find only slowly.
constexpr std::string_view kTexts[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1400\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "0\r\nx-a: b\r\n\r\n",
    "hello",
    "\r\n",
    "GET / HTTP/1.1\r\nHo",
    "st: a\r\n\r\n",
    "BAD\r\n\r\n",
};

struct Play {
  explicit Play(Input& input) : input(input), small(setUp(input)), world(options) {
    if (mode != 0) {
      world.onRequest = [this](Call& call) {
        if (mode == 1 || call.serial % 2 == 1) world.respond(call, 200, "ok");
      };
      world.onBody = [this](Call& call, size_t size) { world.consume(call, static_cast<uint32_t>(size)); };
      world.onWritable = [this](Call& call) { world.write(call, "more", call.writable < 3); };
    }
  }

  bool setUp(Input& in) {
    const uint32_t first = in.byte();
    const uint32_t second = in.byte();
    mode = (first >> 1) % 3;
    options.completionBytes = 128 * 1024;
    options.submissionBytes = 256 * 1024;
    options.limits.bodyBytes = first & 8 ? 0 : 400'000;
    if (first & 1) {
      options.completionBytes = options.submissionBytes = 4096;
      options.limits.bodyBytes = 1500;
      options.limits.head.headerBytes = 512;
    } else {
      options.limits.head.headerBytes = 2048;
    }
    if (first & 16) options.limits.pipelinedRequests = 2;
    if (first & 32) options.limits.requestsPerConnection = 3;
    if (first & 64) options.limits.writeBufferBytes = 1000;
    if (first & 128) options.limits.connections = 2;
    if (second & 1) options.timeouts.handlerMs = 1000;
    if (second & 2) options.timeouts.lingerMs = 0;
    if (second & 4) options.timeouts.minBodyBytesPerSecond = 0;
    if (second & 8) options.timeouts.keepAliveMs = 0;
    options.poll = second & 16;
    return first & 1;
  }

  Client& client() { return clients[input.byte() % clients.size()]; }
  Call* call() {
    const size_t back = input.byte();
    return back < world.calls.size() ? world.calls[world.calls.size() - 1 - back].get() : nullptr;
  }
  std::string filler() { return std::string((input.byte() * (small ? 5 : 400)) & 0xffff, 'x'); }

  void step() {
    switch (input.byte() % 20) {
      case 0: {
        Client& to = client();
        to.send(input.bytes(input.byte()));
        break;
      }
      case 1:
      case 2: {
        Client& to = client();
        to.send(kTexts[input.byte() % std::size(kTexts)]);
        break;
      }
      case 3:
        client().send(filler());
        break;
      case 4: {
        Client& one = client();
        if (!one.isOpen()) one = world.connect();
        break;
      }
      case 5:
        client().halfClose();
        break;
      case 6:
        client().reset();
        break;
      case 7: {
        Client& one = client();
        one.read(input.byte() * 256);
        break;
      }
      case 8:
        if (const Call* to = call()) {
          static constexpr int kStatuses[] = {200, 204, 304, 404, 500};
          const uint32_t how = input.byte();
          const uint32_t flags = how & 32 ? records::kHeadCloseFlag : 0;
          world.respond(*to, kStatuses[how % 5], filler(), how & 64 ? "x-a: b\r\n" : "", flags);
        }
        break;
      case 9:
        if (const Call* to = call()) {
          const uint32_t how = input.byte();
          world.start(*to, how & 1 ? 200 : 304, how & 2 ? -1 : static_cast<int64_t>(input.byte()));
        }
        break;
      case 10:
        if (const Call* to = call()) world.write(*to, filler(), input.byte() & 1);
        break;
      case 11:
        if (const Call* to = call()) world.end(*to, input.byte() & 1 ? "x-t: 1\r\n" : "", input.byte() & 1);
        break;
      case 12:
        if (const Call* to = call()) world.consume(*to, input.byte() * 1024);
        break;
      case 13:
        if (const Call* to = call()) world.sendContinue(*to);
        break;
      case 14:
        if (const Call* to = call()) world.destroy(*to);
        break;
      case 15:
      case 16:
        world.turn();
        break;
      case 17:
        GAMMALOOP_CHECK(world.engine.turn().ok());
        break;
      case 18:
        world.passTime(input.byte() * 300);
        break;
      case 19:
        switch (input.byte() % 32) {
          case 0:
            world.engine.close(world.server);
            break;
          case 1:
            world.engine.cut(world.server);
            break;
          default:
            world.run();
        }
        break;
    }
  }

  void finish() {
    for (Client& one : clients) {
      one.read();
      GAMMALOOP_CHECK(one.received.empty() || std::string_view("HTTP/1.1 ").starts_with(one.received.substr(0, 9)));
      one.close();
    }
    world.engine.close(world.server);
    world.run();
    // Everybody has gone: nothing may need the clock to notice.
    GAMMALOOP_CHECK(world.engine.reactor().connectionCount() == 0);
    GAMMALOOP_CHECK(world.engine.exchangesAlive() == 0);
    GAMMALOOP_CHECK(world.openConnections() == 0);
    GAMMALOOP_CHECK(world.serverClosed);
    const HttpCounters& counters = world.counters();
    GAMMALOOP_CHECK(counters.requestsReceived == world.calls.size());
    GAMMALOOP_CHECK(counters.requestsReceived == counters.requestsCompleted + counters.requestsAborted);
  }

  Input& input;
  Options options;
  uint32_t mode = 0;
  bool small;
  World world;
  std::array<Client, 3> clients;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return playInput<Play>(data, size); }
