// Wire sessions: what has left, connections from elsewhere (adopted, fed), servers apart from their listeners.
#include "wire_checks.h"

using namespace gammaloop;
using namespace gammaloop::test;
using namespace gammaloop::records;  // NOLINT: flags

namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

std::span<const uint8_t> bytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

template <typename T>
int codeOf(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

}  // namespace

TEST("wire: flushed is told as soon as what was written before has left, not what came after") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Client client = world.connect(4096);
  world.run();
  Wire& wire = *world.wires.at(0);
  world.write(wire, "small", kWireWriteNotifyFlag);
  world.write(wire, "er", kWireWriteNotifyFlag);
  world.run();
  EXPECT_EQ(wire.flushes, 1);  // one record for both
  EXPECT_EQ(wire.flushed, 7u);
  world.write(wire, "", kWireWriteNotifyFlag);  // nothing is on its way
  world.run();
  EXPECT_EQ(wire.flushes, 2);

  // The peer does not read: some of it leaves, and the rest waits.
  const std::string block = pattern(200'000);
  uint32_t positions[10];
  std::string expected = "smaller";
  for (uint32_t& position : positions) {
    world.write(wire, block, kWireWriteNotifyFlag);
    expected += block;
    position = wire.written;
  }
  world.run();
  EXPECT(wire.flushed < wire.written);
  for (int i = 0; i < 10'000 && wire.flushed != wire.written; i++) {
    client.read(50'000);
    world.turn();
    // Whatever has left completely was told.
    const Connection* connection = world.engine.connection(wire.key);
    for (const uint32_t position : positions)
      EXPECT((connection->sentBytes() >= position) == (wire.flushed >= position));
  }
  EXPECT_EQ(wire.flushed, wire.written);
  world.run({&client});
  EXPECT(client.received == expected);
  client.close();
  expectNothingLeft(world);
}

TEST("wire: closing waits for a slow reader, and inactivity is still told") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Client client = world.connect(4096);
  world.run();
  Wire& wire = *world.wires.at(0);
  const std::string block = pattern(250'000);
  for (int i = 0; i < 8; i++) world.write(wire, block);
  world.write(wire, "end", kWireWriteNotifyFlag | kWireWriteCloseFlag);
  world.setInactivity(wire, 1000);
  world.run();
  world.passTime(1000 + kSlackMs);
  world.run();
  EXPECT_EQ(wire.log, "idle inactivity\n");
  world.run({&client});
  EXPECT(client.ended && client.received.size() == 2'000'003 && client.received.ends_with("end"));
  EXPECT_EQ(wire.flushed, 2'000'003u);
  EXPECT(wire.closed);
  client.close();
  expectNothingLeft(world);
}

TEST("wire: a fed connection is like any other") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Wire& wire = world.openFed();
  EXPECT_EQ(world.engine.connection(wire.key)->fd(), -1);
  EXPECT_EQ(world.engine.reactor().holdingCount(), 0u);
  world.engine.feed(wire.key, bytesOf("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe"));
  world.engine.settleIfNeeded();  // in the same turn of the loop
  EXPECT_EQ(wire.log, "request POST /1 BK\nbody he\n");
  world.engine.feed(wire.key, bytesOf("llo" + kGet));
  world.engine.settleIfNeeded();
  EXPECT_EQ(wire.log, "request POST /1 BK\nbody hello\nbody end 0\nrequest GET / K\n");
  world.write(wire, "one", kWireWriteEndFlag);
  world.write(wire, "two", kWireWriteEndFlag | kWireWriteNotifyFlag);
  world.engine.settleIfNeeded();
  EXPECT_EQ(wire.output, "onetwo");
  EXPECT_EQ(wire.flushed, 6u);
  world.write(wire, "bye", kWireWriteCloseFlag);
  world.engine.settleIfNeeded();
  EXPECT_EQ(wire.output, "onetwobye");
  EXPECT(wire.log.ends_with("transport end\nclosed 0\n"));
  world.engine.feed(wire.key, bytesOf(kGet));  // late
  world.engine.feedEnd(wire.key);
  world.engine.feedClosed(wire.key, ECONNRESET);
  expectNothingLeft(world);
}

TEST("wire: a fed connection's output is bounded by what its transport has sent") {
  const DescriptorCheck descriptors;
  WireWorld world;
  world.acknowledges = false;
  Wire& wire = world.openFed();
  const std::string block = pattern(200'000);
  for (int i = 0; i < 4; i++) world.write(wire, block);
  world.write(wire, "", kWireWriteNotifyFlag);
  world.run();
  EXPECT_EQ(wire.output.size(), size_t{FedTransport::kMaxUnsentBytes});
  EXPECT_EQ(wire.flushes, 0);
  while (wire.unacknowledged != 0) {
    world.acknowledge(wire, std::min<uint32_t>(wire.unacknowledged, 70'000));
    world.run();
  }
  EXPECT(wire.output == block + block + block + block);
  EXPECT_EQ(wire.flushed, 800'000u);
  world.shutdown(wire);
  world.run();
  EXPECT_EQ(wire.log, "transport end\n");
  world.destroy(wire);
  world.run();
  EXPECT_EQ(wire.log, "transport end\ntransport destroy\nclosed 0\n");
  expectNothingLeft(world);
}

TEST("wire: a fed connection is paused and resumed, ends, and breaks") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Wire& wire = world.openFed();
  world.engine.feed(wire.key, bytesOf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"));
  const std::string block = pattern(100'000);
  int fed = 0;
  for (; fed < 10 && !wire.paused; fed++) {
    world.engine.feed(wire.key, bytesOf(block));
    world.engine.settleIfNeeded();
  }
  EXPECT(wire.paused && fed < 10);
  world.engine.feed(wire.key, bytesOf(block));  // what was under way when it was paused
  fed++;
  world.onBody = [&](Wire& to, size_t size) { world.consume(to, static_cast<uint32_t>(size)); };
  world.consume(wire, kBodyWindowBytes);
  world.run();
  EXPECT(!wire.paused);
  for (; fed < 10; fed++) world.engine.feed(wire.key, bytesOf(block));
  world.run();
  EXPECT(wire.log.ends_with("body end 0\n"));
  world.engine.feedEnd(wire.key);
  world.run();
  EXPECT(wire.log.ends_with("body end 0\nend\n"));
  world.write(wire, "answer", kWireWriteEndFlag);
  world.shutdown(wire);
  world.run();
  EXPECT_EQ(wire.output, "answer");
  EXPECT(wire.log.ends_with("end\ntransport end\ntransport destroy\nclosed 0\n"));

  Wire& broken = world.openFed();
  world.engine.feed(broken.key, bytesOf(kGet));
  world.engine.feedClosed(broken.key, EPIPE);
  world.write(broken, "nobody");
  world.run();
  EXPECT_EQ(broken.log, "request GET / K\nclosed " + std::to_string(EPIPE) + "\n");

  // Its timers run, too.
  Wire& slow = world.openFed();
  world.engine.feed(slow.key, bytesOf("GET"));
  world.passTime(world.options.timeouts.headersMs + kSlackMs);
  world.run();
  EXPECT_EQ(slow.log, "error HEADERS_TIMEOUT 3 of 3\n");
  world.destroy(slow);
  expectNothingLeft(world);
}

TEST("wire: fed from within a batch") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Wire& outer = world.openFed();
  Wire& inner = world.openFed();
  world.onRequest = [&](Wire& wire, std::string_view, uint32_t) {
    if (&wire == &outer && wire.requests < 50) {
      world.engine.feed(inner.key, bytesOf(kGet));
      world.engine.feed(outer.key, bytesOf(kGet));
      world.engine.flush();
    }
    if (&wire == &inner && wire.requests == 49) world.engine.feedClosed(outer.key, 0);
    world.write(wire, ".", kWireWriteEndFlag);
  };
  world.engine.feed(outer.key, bytesOf(kGet));
  world.run();
  EXPECT_EQ(inner.requests, 49);
  EXPECT(outer.closed);
  world.engine.feedClosed(inner.key, 0);
  expectNothingLeft(world);
}

TEST("wire: idle connections are closed, busy, partial and fresh ones are not") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Client clients[5];
  for (Client& client : clients) client = world.connect();
  world.run();
  clients[0].send(kGet);
  clients[1].send(kGet);
  clients[2].send(kGet);
  clients[3].send(kGet);
  world.run();
  for (const int answered : {0, 2, 3}) world.write(*world.wires[answered], "x", kWireWriteEndFlag);
  world.run();
  clients[2].send("GET / HT");
  world.run();
  clients[3].send(kGet);  // just arrived: the last look finds it
  world.engine.closeIdle(world.server);
  world.run();
  EXPECT(world.wires[0]->closed);
  for (const int left : {1, 2, 3, 4}) EXPECT(!world.wires[left]->closed);
  EXPECT_EQ(world.wires[3]->requests, 2);
  world.run({&clients[0]});
  EXPECT(clients[0].ended && !clients[0].wasReset);
  EXPECT_EQ(world.engine.cut(world.server).exchanges, 2u);
  world.run();
  for (const auto& wire : world.wires) EXPECT(wire->closed);
  for (Client& client : clients) client.close();
  expectNothingLeft(world);
}

TEST("wire: sockets that others have accepted are adopted") {
  const DescriptorCheck descriptors;
  WireWorld world;
  int pair[2];
  GAMMALOOP_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  const Result<SlabKey> adopted = world.engine.adopt(world.server, pair[0]);
  EXPECT(adopted.ok());
  EXPECT_EQ(::send(pair[1], kGet.data(), kGet.size(), 0), static_cast<ssize_t>(kGet.size()));
  world.run();
  EXPECT_EQ(world.wires.at(0)->log, "request GET / K\n");
  EXPECT(world.wires[0]->key == adopted.value());
  EXPECT(world.engine.connection(adopted.value())->fd() == pair[0]);
  world.engine.setConnectionReferenced(adopted.value(), false);
  EXPECT_EQ(world.engine.reactor().holdingCount(), 0u);
  world.engine.setConnectionReferenced(adopted.value(), true);
  EXPECT_EQ(world.engine.reactor().holdingCount(), 1u);
  ::close(pair[1]);
  world.run();

  // What is no connection is closed, and the reason given.
  GAMMALOOP_CHECK(::pipe2(pair, O_CLOEXEC) == 0);
  EXPECT_EQ(codeOf(world.engine.adopt(world.server, pair[0])), ENOTSOCK);
  EXPECT(::fcntl(pair[0], F_GETFD) < 0);
  ::close(pair[1]);
  const int unconnected = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(codeOf(world.engine.adopt(world.server, unconnected)), ENOTCONN);
  EXPECT_EQ(codeOf(world.engine.adopt(world.server, -1)), EBADF);
  if (!world.wires[0]->closed) world.destroy(*world.wires[0]);
  expectNothingLeft(world);
}

TEST("wire: a server without a listener, then with one, then without") {
  const DescriptorCheck descriptors;
  WireWorld world;
  Engine& engine = world.engine;
  const uint32_t server = engine.openServer(world.options.limits, world.options.timeouts, ServerKind::Wire);
  EXPECT_EQ(engine.address(server).ok(), false);
  ListenTarget target;
  target.address = "127.0.0.1";
  EXPECT(engine.listenOn(server, target).ok());
  EXPECT_EQ(codeOf(engine.listenOn(server, target)), EALREADY);
  const uint16_t port = engine.address(server).value().port;
  const uint32_t other = engine.openServer(world.options.limits, world.options.timeouts, ServerKind::Wire);
  target.port = port;
  EXPECT_EQ(codeOf(engine.listenOn(other, target)), EADDRINUSE);
  engine.stopListening(server);
  engine.stopListening(server);
  EXPECT(engine.listenOn(other, target).ok());
  engine.forget(server);
  engine.forget(other);  // closes its listener
  EXPECT(!engine.has(server) && !engine.has(other));
  EXPECT(!Client::tcp(port).isOpen());

  // Connections that the application has not heard of yet go with their server.
  Client client = world.connect();
  client.send(kGet);
  world.engine.stopListening(world.server);
  Wire& fed = world.openFed();
  engine.forget(world.server);
  EXPECT(!engine.has(world.server));
  world.turn();
  EXPECT(fed.closed);
  EXPECT_EQ(engine.reactor().connectionCount(), 0u);
}

TEST("wire: two servers accept from one shared descriptor") {
  const DescriptorCheck descriptors;
  WireWorld first;
  WireWorld second;
  const Result<OwnedFd> listening = listenTcp("127.0.0.1", 0, {});
  GAMMALOOP_CHECK(listening.ok());
  const uint16_t port = localEndpoint(listening.value().get()).value().port;
  for (WireWorld* world : {&first, &second}) {
    ListenTarget target;
    target.fd = ::fcntl(listening.value().get(), F_DUPFD_CLOEXEC, 0);
    world->onEnd = [world](Wire& wire) { world->destroy(wire); };
    world->engine.stopListening(world->server);
    EXPECT(world->engine.listenOn(world->server, target).ok());
  }
  Client clients[8];
  for (Client& client : clients) client = Client::tcp(port);
  for (int turns = 0; turns < 1000 && first.wires.size() + second.wires.size() < 8; turns++) {
    first.turn();
    second.turn();
  }
  EXPECT_EQ(first.wires.size() + second.wires.size(), 8u);
  for (Client& client : clients) client.close();
  expectNothingLeft(first);
  expectNothingLeft(second);
}

TEST("wire: with rings that are always full, nothing is lost and nothing overtakes") {
  const DescriptorCheck descriptors;
  Options options = WireWorld::wireOptions();
  options.completionBytes = options.submissionBytes = 4096;
  options.limits.head.headerBytes = 512;
  WireWorld world(options);
  std::string received;
  world.onRequest = [&](Wire& wire, std::string_view, uint32_t flags) {
    if (!(flags & kRequestHasBodyFlag)) world.write(wire, "x", kWireWriteEndFlag | kWireWriteNotifyFlag);
  };
  world.onBody = [&](Wire& wire, size_t size) { world.consume(wire, static_cast<uint32_t>(size)); };
  world.onBodyEnd = [&](Wire& wire) { world.write(wire, std::string(1500, 'y'), kWireWriteEndFlag); };
  Client client = world.connect();
  Wire& fed = world.openFed();
  for (int i = 0; i < 50; i++) {
    client.send(kGet);
    world.engine.feed(fed.key, bytesOf(kGet));
  }
  // In one piece with its head it would have to fit into the ring.
  const std::string post =
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4e20\r\n" + pattern(20'000) + "\r\n0\r\n\r\n";
  client.send(post);
  world.engine.feed(fed.key, bytesOf(post));
  world.run({&client});
  const std::string expected = std::string(50, 'x') + std::string(1500, 'y');
  EXPECT_EQ(client.received, expected);
  EXPECT_EQ(fed.output, expected);
  client.send(std::string(600, 'B'));
  world.run({&client});
  EXPECT(world.wires[1]->failed || world.wires[0]->failed);
  client.close();
  for (const auto& wire : world.wires) world.destroy(*wire);
  expectNothingLeft(world);
}

TEST("wire: accepted sockets send at once unless told otherwise, and probe when told") {
  const DescriptorCheck descriptors;
  Options options = WireWorld::wireOptions();
  options.tcp = true;
  WireWorld world(options);
  Client client = world.connect();
  world.run();
  const int fd = world.engine.connection(world.wires.at(0)->key)->fd();
  const auto option = [fd](int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    ::getsockopt(fd, level, name, &value, &size);
    return value;
  };
  EXPECT(option(IPPROTO_TCP, TCP_NODELAY) != 0);
  EXPECT(setNoDelay(fd, false).ok());
  EXPECT_EQ(option(IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 0);
  EXPECT(setKeepAlive(fd, true, 42).ok());
  EXPECT(option(SOL_SOCKET, SO_KEEPALIVE) != 0);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 42);
  EXPECT_EQ(codeOf(setKeepAlive(-1, true, 1)), EBADF);
  client.reset();
  expectNothingLeft(world);
}
