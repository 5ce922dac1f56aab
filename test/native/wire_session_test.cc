// Wire sessions: what was read, what is written, the ends of a connection.
#include "wire_checks.h"

using namespace gammaloop;
using namespace gammaloop::test;
using namespace gammaloop::records;  // NOLINT: flags

namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string kUpgrade = "GET /up HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

// Takes every body, answers each request once it is complete, and goes along with upgrades.
void answerAll(WireWorld& world) {
  world.onRequest = [&world](Wire& wire, std::string_view target, uint32_t flags) {
    if (flags & kRequestUpgradeFlag) return world.proceed(wire, target == "/up");
    if (!(flags & kRequestHasBodyFlag) || (flags & kRequestBodyCompleteFlag)) {
      world.write(wire, "ok;", kWireWriteEndFlag);
    }
  };
  world.onBody = [&world](Wire& wire, size_t size) { world.consume(wire, static_cast<uint32_t>(size)); };
  world.onBodyEnd = [&world](Wire& wire) { world.write(wire, "ok;", kWireWriteEndFlag); };
}

}  // namespace

TEST("wire: requests come in, bytes go out as they are") {
  const DescriptorCheck descriptors;
  for (const bool poll : {false, true}) {
    Options options = WireWorld::wireOptions();
    options.poll = poll;
    WireWorld world(options);
    Client client = world.connect();
    client.send("POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    world.run({&client});
    EXPECT_EQ(world.wires.at(0)->log, "request POST /a?b BCK\nbody hello\nbody end 0\n");
    Wire& wire = *world.wires[0];
    world.write(wire, "any");
    world.run({&client});
    world.write(wire, "thing", kWireWriteEndFlag);
    client.send("GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    world.run({&client});
    world.write(wire, "!", kWireWriteEndFlag | kWireWriteCloseFlag);
    world.run({&client});
    EXPECT_EQ(client.received, "anything!");
    EXPECT(client.ended);
    EXPECT(wire.log.ends_with("request GET /2 \nclosed 0\n"));
    EXPECT_EQ(world.counters().requestsCompleted, 2u);
    expectNothingLeft(world);
  }
}

TEST("wire: the same, however the bytes are split") {
  const DescriptorCheck descriptors;
  const std::string texts[] = {
      kGet + kGet,
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nX-T: "
      "1\r\n\r\n" +
          kGet,
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789" + kGet,
      kUpgrade + "early data",
      "GET /no HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + kGet,
      "POST /no HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\nabc" + kGet,
      "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" + kGet,
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx",
  };
  const auto logOf = [](const std::string& text, size_t at, bool fed) {
    WireWorld world;
    answerAll(world);
    Client client;
    std::string out;
    if (fed) {
      Wire& wire = world.openFed();
      const auto bytes = [](std::string_view part) {
        return std::span<const uint8_t>(reinterpret_cast<const uint8_t*>(part.data()), part.size());
      };
      world.engine.feed(wire.key, bytes(text.substr(0, at)));
      world.run();
      world.engine.feed(wire.key, bytes(text.substr(at)));
      world.run();
      world.engine.feedEnd(wire.key);
      world.run();
      out = wire.output;
      world.engine.feedClosed(wire.key, 0);
    } else {
      client = world.connect();
      client.send(text.substr(0, at));
      world.run({&client});
      client.send(text.substr(at));
      client.halfClose();
      world.run({&client});
      out = client.received;
      client.close();
      if (!world.wires[0]->closed) world.destroy(*world.wires[0]);
    }
    std::string log = world.wires.at(0)->log;
    expectNothingLeft(world);
    // A body that comes with its head travels with it.
    for (size_t complete; (complete = log.find("BC")) != std::string::npos;) log.erase(complete + 1, 1);
    if (const size_t error = log.find("error "); error != std::string::npos) log.erase(log.find(' ', error + 6));
    return log + out;
  };
  for (const std::string& text : texts) {
    const std::string whole = logOf(text, text.size(), false);
    EXPECT(!whole.empty());
    for (size_t at = 1; at < text.size(); at++) {
      EXPECT_EQ(logOf(text, at, false), whole);
      EXPECT_EQ(logOf(text, at, true), whole);
    }
  }
}

TEST("wire: pipelined requests wait for their number and for what is unsent") {
  const DescriptorCheck descriptors;
  Options options = WireWorld::wireOptions();
  options.limits.pipelinedRequests = 2;
  WireWorld world(options);
  Client client = world.connect();
  for (int i = 0; i < 5; i++) client.send(kGet);
  world.run({&client});
  Wire& wire = *world.wires.at(0);
  EXPECT_EQ(wire.requests, 2);
  world.write(wire, "1", kWireWriteEndFlag);
  world.run({&client});
  EXPECT_EQ(wire.requests, 3);
  for (int i = 0; i < 4; i++) world.write(wire, "x", kWireWriteEndFlag);
  world.run({&client});
  EXPECT_EQ(wire.requests, 5);
  world.write(wire, "x", kWireWriteEndFlag);  // more ends than requests
  world.write(wire, "x", kWireWriteEndFlag);
  world.run({&client});
  EXPECT_EQ(client.received, "1xxxxxx");
  EXPECT_EQ(world.counters().requestsCompleted, 5u);
  client.close();
  expectNothingLeft(world);
}

TEST("wire: expectations, a missing host, what else the head says") {
  const DescriptorCheck descriptors;
  Options options = WireWorld::wireOptions();
  options.limits.head.requireHost = false;
  WireWorld world(options);
  Client client = world.connect();
  client.send(
      "POST /1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nxPOST /2 HTTP/1.1\r\nExpect: "
      "100-cont\r\n\r\n");
  client.send("GET /3 HTTP/1.0\r\nExpect: what\r\n\r\n");
  world.run({&client});
  EXPECT_EQ(world.wires.at(0)->log, "request POST /1 BCKE\nbody x\nbody end 0\nrequest POST /2 KO\nrequest GET /3 \n");
  client.close();
  expectNothingLeft(world);

  WireWorld strict;
  Client other = strict.connect();
  other.send("GET / HTTP/1.1\r\nA: b\r\n\r\n");
  strict.run({&other});
  EXPECT_EQ(strict.wires.at(0)->log, "error MISSING_HOST 22 of 24\n");
  EXPECT_EQ(strict.counters().httpErrors[static_cast<size_t>(HttpError::MissingHost)], 1u);
  EXPECT(other.received.empty());  // the answer is the application's
  strict.write(*strict.wires[0], "bad", kWireWriteCloseFlag);
  other.send("more that nobody reads");
  strict.run({&other});
  EXPECT_EQ(other.received, "bad");
  EXPECT(other.ended && !other.wasReset);
  other.close();
  expectNothingLeft(strict);
}

TEST("wire: what follows refused bytes is refused for the same reason") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Client client = world.connect();
  client.send("*");
  world.run({&client});
  client.send("12");
  world.run({&client});
  client.send(kGet);
  world.run({&client});
  Wire& wire = *world.wires.at(0);
  EXPECT_EQ(wire.log, "error INVALID_METHOD 0 of 1\nerror INVALID_METHOD 0 of 2\nerror INVALID_METHOD 0 of 27\n");
  EXPECT_EQ(world.counters().httpErrors[static_cast<size_t>(HttpError::InvalidMethod)], 1u);
  world.write(wire, "bad", kWireWriteCloseFlag);
  world.run({&client});
  client.send("unheard");
  client.halfClose();
  world.run({&client});
  EXPECT_EQ(client.received, "bad");
  EXPECT(wire.log.ends_with("0 of 27\nclosed 0\n"));
  client.close();
  expectNothingLeft(world);

  WireWorld chunked;
  Client other = chunked.connect();
  other.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n");
  chunked.run({&other});
  EXPECT_EQ(chunked.wires.at(0)->log, "request POST / BK\nerror FORBIDDEN_TRAILER 73 of 80\n");
  other.close();
  expectNothingLeft(chunked);
}

TEST("wire: bytes behind a request that is the last are told, and are no request") {
  const DescriptorCheck descriptors;
  WireWorld world;
  const std::string last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  Client client = world.connect();
  client.send(last + "\r\n");
  world.run({&client});
  client.send("\n\r\n");
  world.run({&client});
  Wire& wire = *world.wires.at(0);
  EXPECT_EQ(wire.log, "request GET /last \n");
  client.send("\r\n" + kGet);
  world.run({&client});
  EXPECT_EQ(wire.log, "request GET /last \nerror DATA_AFTER_CLOSE 2 of 29\n");
  world.write(wire, "ok", kWireWriteEndFlag | kWireWriteCloseFlag);
  world.run({&client});
  EXPECT_EQ(client.received, "ok");
  EXPECT(client.ended && !client.wasReset);
  client.close();
  expectNothingLeft(world);

  WireWorld together;
  Client other = together.connect();
  other.send(last + kGet);
  together.run({&other});
  EXPECT_EQ(together.wires.at(0)->log, "request GET /last \nerror DATA_AFTER_CLOSE 50 of 77\n");
  EXPECT_EQ(together.counters().httpErrors[static_cast<size_t>(HttpError::DataAfterClose)], 1u);
  other.close();
  expectNothingLeft(together);
}

TEST("wire: a head in small pieces is refused soon after it is too long") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Client client = world.connect();
  client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
  const std::string piece(97, 'x');
  size_t sent = 0;
  for (; sent < 20'000 && world.wires.empty(); sent += piece.size()) world.run({&client});
  for (; sent < 40'000 && !world.wires.at(0)->failed; sent += piece.size()) {
    client.send(piece);
    world.run({&client});
  }
  EXPECT(world.wires.at(0)->log.starts_with("error HEADER_BYTES_EXCEEDED "));
  EXPECT(sent > 16'384 - 100 && sent < 16'384 + 2'048);
  client.close();
  expectNothingLeft(world);
}

TEST("wire: a body window that is not opened stops the sender") {
  const DescriptorCheck descriptors;
  WireWorld world;
  size_t received = 0;
  world.onBody = [&](Wire&, size_t size) { received += size; };
  Client client = world.connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
  const std::string block(100'000, 'x');
  size_t sent = 0;
  for (int i = 0; i < 100 && sent < 2'000'000; i++) {
    sent += client.send(std::string_view(block).substr(0, std::min(block.size(), 2'000'000 - sent)));
    world.run({&client});
  }
  const size_t held = received;  // what one read brings is not parted
  EXPECT(held >= kBodyWindowBytes && held < kBodyWindowBytes + Reactor::kReadBufferBytes);
  world.consume(*world.wires[0], 1'000'000'000);  // never more than the window
  for (int i = 0; i < 100 && sent < 2'000'000; i++) {
    sent += client.send(std::string_view(block).substr(0, std::min(block.size(), 2'000'000 - sent)));
    world.run({&client});
  }
  EXPECT(received >= held + kBodyWindowBytes && received < held + kBodyWindowBytes + Reactor::kReadBufferBytes);
  client.close();
  expectNothingLeft(world);
}

TEST("wire: upgraded, all is data, within the window, past FIN") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Client client = world.connect();
  client.send(kUpgrade + "early");
  world.run({&client});
  Wire& wire = *world.wires.at(0);
  EXPECT_EQ(wire.log, "request GET /up KU\n");
  client.send(" and more");
  world.run({&client});
  EXPECT_EQ(wire.log, "request GET /up KU\n");
  world.proceed(wire, true);
  world.write(wire, "101");
  world.run({&client});
  EXPECT_EQ(wire.log, "request GET /up KU\ndata early and more\n");
  world.passTime(1'000'000);  // no timeout of HTTP any more
  client.send("BAD\r\n\r\n");
  client.halfClose();
  world.run({&client});
  EXPECT(wire.log.ends_with("BAD\r\n\r\n\nend\n"));
  world.write(wire, " still", kWireWriteNotifyFlag);
  world.run({&client});
  EXPECT_EQ(wire.flushed, 9u);
  world.shutdown(wire);
  world.run({&client});
  EXPECT_EQ(client.received, "101 still");
  EXPECT(client.ended);
  EXPECT(wire.closed && wire.error == 0);
  EXPECT_EQ(world.counters().requestsCompleted, 1u);
  expectNothingLeft(world);
}

TEST("wire: an upgrade after the request's body") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Client client = world.connect();
  client.send("POST /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 4\r\n\r\nbo");
  world.run({&client});
  Wire& wire = *world.wires.at(0);
  world.proceed(wire, true, true);
  world.run({&client});
  client.send("dyGET / HTTP/1.1\r\n");
  world.run({&client});
  EXPECT(wire.log.ends_with("body body\nbody end 0\ndata GET / HTTP/1.1\r\n\n"));
  world.destroy(wire);
  world.run({&client});
  expectNothingLeft(world);
}

TEST("wire: a tap tells each read before what it brings, until an upgrade") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Client client = world.connect();
  client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
  world.run({&client});
  Wire& wire = *world.wires.at(0);
  world.tap(wire);
  world.run({&client});
  wire.log.clear();
  client.send(kUpgrade);
  world.run({&client});
  EXPECT_EQ(wire.log, "data " + kUpgrade + "\nrequest GET /up KU\n");
  world.proceed(wire, true);
  wire.log.clear();
  client.send("more");
  world.run({&client});
  EXPECT_EQ(wire.log, "data more\n");
  world.destroy(wire);
  world.run({&client});
  expectNothingLeft(world);
}

TEST("wire: half-closed from here, reading goes on") {
  const DescriptorCheck descriptors;
  for (const bool tcp : {false, true}) {
    Options options = WireWorld::wireOptions();
    options.tcp = tcp;
    WireWorld world(options);
    Client client = world.connect();
    client.send(kUpgrade);
    world.run({&client});
    Wire& wire = *world.wires.at(0);
    world.proceed(wire, true);
    world.write(wire, "bye");
    world.shutdown(wire);
    world.write(wire, "dropped");
    world.run({&client});
    EXPECT_EQ(client.received, "bye");
    EXPECT(client.ended && !wire.closed);
    client.send("data after FIN");
    world.run();
    EXPECT(wire.log.ends_with("data data after FIN\n"));
    world.setReading(wire, false);
    world.run();
    client.send(" and unread");
    client.halfClose();
    world.run();
    EXPECT(wire.log.ends_with("FIN\n"));
    world.setReading(wire, true);  // nothing was lost by both ends being closed
    world.run();
    EXPECT(wire.log.ends_with("FIN and unread\nend\nclosed 0\n"));
    expectNothingLeft(world);
  }
}

TEST("wire: FIN and resets are told, with errno, and judged by the application") {
  const DescriptorCheck descriptors;
  Options options = WireWorld::wireOptions();
  options.tcp = true;
  WireWorld world(options);
  Client half = world.connect();
  half.send("GET / HTT");
  half.halfClose();
  world.run({&half});
  EXPECT_EQ(world.wires.at(0)->log, "end in message\n");
  world.write(*world.wires[0], "answer", kWireWriteCloseFlag);
  world.run({&half});
  EXPECT_EQ(half.received, "answer");

  Client body = world.connect();
  body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
  body.halfClose();
  world.run({&body});
  EXPECT_EQ(world.wires.at(1)->log, "request POST / BK\nbody abc\nend in message\n");
  world.destroy(*world.wires[1]);

  Client reset = world.connect();
  reset.send(kGet);
  world.run({&reset});
  reset.reset();
  world.run();
  EXPECT_EQ(world.wires.at(2)->log, "request GET / K\nclosed " + std::to_string(ECONNRESET) + "\n");

  Client destroyed = world.connect();
  destroyed.send(kGet);
  world.run({&destroyed});
  world.destroy(*world.wires.at(3), true);
  world.write(*world.wires[3], "too late");
  world.run({&destroyed});
  EXPECT(destroyed.wasReset);
  EXPECT_EQ(world.wires[3]->error, 0);
  expectNothingLeft(world);
  for (const auto& wire : world.wires) {  // late submissions find nobody
    world.write(*wire, "x", kWireWriteEndFlag | kWireWriteNotifyFlag);
    world.shutdown(*wire);
    world.destroy(*wire);
    world.consume(*wire, 1);
  }
  world.run();
}

TEST("wire: closed means told at FIN, and the peer gets the answer though it goes on sending") {
  const DescriptorCheck descriptors;
  Options options = WireWorld::wireOptions();
  options.tcp = true;
  WireWorld world(options);
  Client client = world.connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  world.run({&client});
  world.write(*world.wires.at(0), "no", kWireWriteEndFlag | kWireWriteCloseFlag);
  world.run();
  EXPECT(world.wires[0]->closed);
  EXPECT_EQ(world.http().openConnections(), 0u);
  EXPECT_EQ(world.engine.reactor().holdingCount(), 0u);
  EXPECT_EQ(world.engine.reactor().connectionCount(), 1u);
  world.destroy(*world.wires[0]);  // it is over: the answer is not taken from the client
  client.send(std::string(200'000, 'x'));
  world.run({&client});
  EXPECT_EQ(client.received, "no");
  EXPECT(client.ended && !client.wasReset);
  const uint32_t index = world.server;
  world.engine.forget(index);  // lingering needs no server
  EXPECT(!world.engine.has(index));
  world.passTime(options.timeouts.lingerMs + kSlackMs);
  GAMMALOOP_CHECK(world.engine.turn().ok());
  EXPECT_EQ(world.engine.reactor().connectionCount(), 0u);
}

TEST("wire: reading stops and goes on as told") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Client client = world.connect();
  world.run({&client});
  Wire& wire = *world.wires.at(0);
  world.setReading(wire, false);
  world.run();
  client.send(kGet + kGet);
  world.run({&client});
  EXPECT_EQ(wire.log, "");
  world.setReading(wire, true);
  world.run({&client});
  EXPECT_EQ(wire.requests, 2);
  client.close();
  expectNothingLeft(world);
}

TEST("wire: keep-alive and inactivity are told, and nothing is done about them") {
  const DescriptorCheck descriptors;
  Options options = WireWorld::wireOptions();
  options.timeouts.keepAliveMs = 5000;
  options.timeouts.headersMs = 0;
  WireWorld world(options);
  Client client = world.connect();
  client.send(kGet);
  world.run({&client});
  Wire& wire = *world.wires.at(0);
  const auto after = [&](uint64_t ms) {
    world.passTime(ms);
    world.run({&client});
    return wire.log.substr(wire.log.find('\n') + 1);
  };
  EXPECT_EQ(after(10'000), "");  // in flight
  world.write(wire, "x", kWireWriteEndFlag);
  world.run({&client});
  EXPECT_EQ(after(4999), "");
  EXPECT_EQ(after(1 + kSlackMs), "idle keep-alive\n");
  EXPECT_EQ(after(20'000), "idle keep-alive\n");
  world.setInactivity(wire, 1000);
  world.run();
  EXPECT_EQ(after(999), "idle keep-alive\n");
  client.send("G");  // a byte restarts it
  world.run();
  EXPECT_EQ(after(999), "idle keep-alive\n");
  EXPECT_EQ(after(1 + kSlackMs), "idle keep-alive\nidle inactivity\n");
  EXPECT_EQ(after(2000 + kSlackMs), "idle keep-alive\nidle inactivity\n");  // once
  world.write(wire, "y");
  world.run({&client});
  EXPECT_EQ(after(999), "idle keep-alive\nidle inactivity\n");
  EXPECT_EQ(after(1 + kSlackMs), "idle keep-alive\nidle inactivity\nidle inactivity\n");
  world.setInactivity(wire, 0);
  world.run();
  EXPECT_EQ(after(5000), "idle keep-alive\nidle inactivity\nidle inactivity\n");
  EXPECT(!client.ended);
  client.close();
  expectNothingLeft(world);
}

TEST("wire: heads and bodies that come too late") {
  const DescriptorCheck descriptors;
  Options options = WireWorld::wireOptions();
  options.timeouts.headersMs = 1000;
  options.timeouts.requestMs = 3000;
  WireWorld world(options);
  Client silent = world.connect();
  Client partial = world.connect();
  Client body = world.connect();
  world.run();
  partial.send("GET / HTT");
  body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
  world.run();
  world.passTime(999);
  world.run();
  for (const auto& wire : world.wires) EXPECT(wire->log.find("error") == std::string::npos);
  world.passTime(1 + kSlackMs);
  world.run();
  EXPECT_EQ(world.wires[0]->log, "error HEADERS_TIMEOUT 0 of 0\n");
  EXPECT_EQ(world.wires[1]->log, "error HEADERS_TIMEOUT 9 of 9\n");
  world.passTime(2000 + kSlackMs);
  world.run();
  EXPECT(world.wires[2]->log.ends_with("error REQUEST_TIMEOUT 0 of 0\n"));
  for (const auto& wire : world.wires) world.write(*wire, "408", kWireWriteCloseFlag);
  world.run({&silent, &partial, &body});
  for (Client* client : {&silent, &partial, &body}) {
    EXPECT_EQ(client->received, "408");
    EXPECT(client->ended);
    client->close();
  }
  expectNothingLeft(world);

  // Without a timeout of the head, that of the request holds; new values count from the next timer on.
  options.timeouts.headersMs = 0;
  options.timeouts.requestMs = 9000;
  WireWorld other(options);
  HttpTimeouts shorter = options.timeouts;
  shorter.requestMs = 500;
  other.engine.configure(other.server, options.limits, shorter);
  Client late = other.connect();
  other.run();
  other.passTime(500 + kSlackMs);
  other.run();
  EXPECT_EQ(other.wires.at(0)->log, "error HEADERS_TIMEOUT 0 of 0\n");
  late.close();
  expectNothingLeft(other);
}
