// A whole wire session under a fuzzer: the input is a program of what clients, transports that are fed, the application
// and the clock do to an engine, over real sockets and without. Checked: no sanitizer finding, no broken invariant of
// the border (wire_harness.h), and at the end everything freed and the counters adding up.
//
// Input: two bytes of options, then operations: a byte says which, the bytes behind it are its arguments.
#include <algorithm>
#include <array>

#include "fuzz/input.h"
#include "wire_harness.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

// What a mutation of bytes would find only slowly.
constexpr std::string_view kTexts[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhello",
    "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nearly",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
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
    world.acknowledges = mode != 0;
    if (mode != 0) {
      world.onRequest = [this](Wire& wire, std::string_view, uint32_t flags) {
        if (flags & records::kRequestUpgradeFlag) world.proceed(wire, mode == 1);
        if (mode == 1 || wire.requests % 2 == 1) world.write(wire, "ok", records::kWireWriteEndFlag);
      };
      world.onBody = [this](Wire& wire, size_t size) { world.consume(wire, static_cast<uint32_t>(size)); };
      world.onEnd = [this](Wire& wire) { world.write(wire, "", records::kWireWriteCloseFlag); };
      world.onError = [this](Wire& wire) { world.write(wire, "400", records::kWireWriteCloseFlag); };
    }
  }

  bool setUp(Input& in) {
    const uint32_t first = in.byte();
    const uint32_t second = in.byte();
    mode = (first >> 1) % 3;
    options = WireWorld::wireOptions();
    options.completionBytes = 128 * 1024;
    options.submissionBytes = 256 * 1024;
    options.limits.head.headerBytes = 2048;
    if (first & 1) {
      options.completionBytes = options.submissionBytes = 4096;
      options.limits.bodyBytes = 1500;
      options.limits.head.headerBytes = 512;
      options.limits.head.headerCount = 40;  // what separates fields is not counted, and a record must fit the ring
    }
    if (first & 8) options.limits.pipelinedRequests = 2;
    if (first & 16) options.limits.writeBufferBytes = 1000;
    if (first & 32) options.limits.connections = 2;
    if (first & 64) options.limits.head.requireHost = false;
    if (first & 128) options.timeouts.minBodyBytesPerSecond = 1024;
    if (second & 1) options.timeouts.headersMs = 0;
    if (second & 2) options.timeouts.lingerMs = 0;
    if (second & 4) options.timeouts.keepAliveMs = 1000;
    if (second & 8) options.timeouts.requestMs = 0;
    options.poll = second & 16;
    options.tcp = second & 32;
    return first & 1;
  }

  Client& client() { return clients[input.byte() % clients.size()]; }
  Wire* wire() {
    const size_t back = input.byte() % 8;
    return back < world.wires.size() ? world.wires[world.wires.size() - 1 - back].get() : nullptr;
  }
  std::string filler() { return std::string((input.byte() * (small ? 5 : 900)) & 0x3ffff, 'x'); }
  void feed(Wire& to, std::string_view bytes) {
    world.engine.feed(to.key, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  }

  void step() {
    switch (input.byte() % 20) {
      case 0: {
        Client& to = client();
        to.send(input.bytes(input.byte()));
        return;
      }
      case 1: {
        Client& to = client();
        to.send(kTexts[input.byte() % std::size(kTexts)]);
        return;
      }
      case 2:
        client().send(filler());
        return;
      case 3: {
        Client& one = client();
        if (!one.isOpen()) one = world.connect();
        return;
      }
      case 4:
        return client().halfClose();
      case 5:
        return client().reset();
      case 6: {
        Client& one = client();
        one.read(input.byte() * 256);
        return;
      }
      case 7:
      case 8:
        return world.turn();
      case 9:
        return world.passTime(input.byte() * 300);
      case 10:
        return global();
      case 11:
        if (world.wires.size() < 64) world.openFed();
        return;
      default:
        if (Wire* one = wire()) act(*one);
    }
  }

  void act(Wire& one) {
    switch (input.byte() % 16) {
      case 0:
      case 1:
      case 2: {
        const uint32_t flags = input.byte();
        return world.write(one, filler(), flags & 3 ? flags & 3 : flags & 7);
      }
      case 3:
        return world.write(one, input.bytes(input.byte()), input.byte() & 7);
      case 4:
        return world.consume(one, input.byte() * 1024);
      case 5:
        return world.proceed(one, input.byte() & 1);
      case 6:
        return world.shutdown(one);
      case 7:
        return world.destroy(one, input.byte() & 1);
      case 8:
      case 9:
        return world.setReading(one, input.byte() & 1);
      case 10:
        return world.setInactivity(one, input.byte() * 100);
      case 11:
        return world.acknowledge(one, std::min(one.unacknowledged, input.byte() * 1000));
      case 12:
      case 13:
        return feed(one, kTexts[input.byte() % std::size(kTexts)]);
      case 14:
        return feed(one, filler());
      case 15:
        if (input.byte() & 1) return world.engine.feedEnd(one.key);
        return world.engine.feedClosed(one.key, static_cast<int>(input.byte()));
    }
  }

  void global() {
    switch (input.byte() % 8) {
      case 0:
        return world.engine.closeIdle(world.server);
      case 1:
        if (input.byte() < 32) (void)world.engine.cut(world.server);
        return;
      case 2:
        return world.engine.flush();
      case 3:
        return world.engine.configure(world.server, options.limits, {.headersMs = 10, .keepAliveMs = 10});
      case 4:
        if (Wire* one = wire()) world.engine.setConnectionReferenced(one->key, input.byte() & 1);
        return;
      default:
        world.run();
    }
  }

  void finish() {
    for (Client& one : clients) one.close();
    world.run();
    for (const auto& one : world.wires) world.destroy(*one);
    world.run();
    GAMMALOOP_CHECK(world.http().openConnections() == 0);
    GAMMALOOP_CHECK(world.engine.reactor().holdingCount() == 0);
    for (const auto& one : world.wires) GAMMALOOP_CHECK(one->closed);
    const HttpCounters& counters = world.counters();
    GAMMALOOP_CHECK(counters.requestsReceived == counters.requestsCompleted + counters.requestsAborted);
    // What still lingers needs nobody.
    world.passTime(1'000'000);
    world.run();
    GAMMALOOP_CHECK(world.engine.reactor().connectionCount() == 0);
  }

  Input& input;
  Options options;
  uint32_t mode = 0;
  bool small;
  WireWorld world;
  std::array<Client, 3> clients;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return playInput<Play>(data, size); }
