// Every timeout has its answer, by a clock that the tests set.
#include "engine_checks.h"

using namespace gammaloop;
using namespace gammaloop::test;

TEST("timeout: a head that does not end gets 408") {
  const DescriptorCheck descriptors;
  World world;
  answerEcho(world);
  Client client = world.connect();
  client.send("GET / HTTP/1.1\r\nHo");
  world.run({&client});
  expectSilenceUntil(world, client, world.options.timeouts.headersMs);
  EXPECT_EQ(withoutDate(client.received), "HTTP/1.1 408 Request Timeout\r\n" + kClosing);
  EXPECT_EQ(world.errors(SessionError::HeadersTimeout), 1u);
  client.close();
  expectAllFreed(world);
}

TEST("timeout: bytes of a head do not prolong it") {
  const DescriptorCheck descriptors;
  World world;
  answerEcho(world);
  Client client = world.connect();
  client.send("GET / HTTP/1.1\r\nHost: a\r\n");
  for (int i = 0; i < 61; i++) {
    world.run({&client});
    world.passTime(1000);
    client.send("x: y\r\n");
  }
  world.run({&client});
  EXPECT(client.received.starts_with("HTTP/1.1 408"));
  client.close();
  expectAllFreed(world);
}

TEST("timeout: a body that does not end gets 408, however steadily it comes") {
  const DescriptorCheck descriptors;
  World world;
  answerEcho(world);
  Client client = world.connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  const std::string piece(2000, 'x');
  for (int second = 0; second < 299; second++) {
    client.send(piece);
    world.run({&client});
    world.passTime(1000);
  }
  EXPECT(client.received.empty());
  world.passTime(1000 + kSlackMs);
  world.run({&client});
  EXPECT_EQ(withoutDate(client.received), "HTTP/1.1 408 Request Timeout\r\n" + kClosing);
  EXPECT_EQ(world.errors(SessionError::RequestTimeout), 1u);
  EXPECT_EQ(world.calls[0]->aborted, records::kAbortBodyTimeout);
  client.close();
  expectAllFreed(world);
}

TEST("timeout: a body below the least rate gets 408, one above it does not") {
  const DescriptorCheck descriptors;
  for (const size_t perSecond : {800, 1300}) {
    World world;
    answerEcho(world);
    Client client = world.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n");
    for (int second = 0; second < 21; second++) {
      world.run({&client});
      client.send(std::string(perSecond, 'x'));
      world.passTime(1000);
    }
    world.run({&client});
    const bool slow = perSecond == 800;
    EXPECT_EQ(client.received.starts_with("HTTP/1.1 408"), slow);
    EXPECT_EQ(world.errors(SessionError::BodyRateTimeout), slow ? 1u : 0u);
    client.close();
    expectAllFreed(world);
  }
}

TEST("timeout: the time in which the application does not read is not the client's") {
  const DescriptorCheck descriptors;
  World world;
  Client client = world.connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n");
  std::string body(600'000, 'x');
  size_t sent = 0;
  for (int i = 0; i < 20; i++) {
    sent += client.send(std::string_view(body).substr(sent));
    world.run({&client});
  }
  EXPECT(world.calls[0]->body.size() >= records::kBodyWindowBytes && world.calls[0]->body.size() < body.size());
  world.passTime(60'000);
  world.run({&client});
  EXPECT(client.received.empty());
  world.consume(*world.calls[0], records::kBodyWindowBytes);
  world.run({&client});
  expectSilenceUntil(world, client, world.options.timeouts.bodyRateWindowMs);  // from now on it is again
  client.close();
  expectAllFreed(world);
}

TEST("timeout: the request timeout holds after a stall, also without a body rate") {
  const DescriptorCheck descriptors;
  Options options;
  options.timeouts.minBodyBytesPerSecond = 0;
  World world(options);
  Client client = world.connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n");
  std::string body(500'000, 'x');
  size_t sent = 0;
  for (int i = 0; i < 20; i++) {
    sent += client.send(std::string_view(body).substr(sent));
    world.run({&client});
  }
  world.passTime(options.timeouts.requestMs + kSlackMs);
  world.run({&client});
  EXPECT(client.received.empty());
  world.consume(*world.calls[0], records::kBodyWindowBytes);
  world.run({&client});
  world.passTime(kSlackMs);
  world.run({&client});
  EXPECT(client.received.starts_with("HTTP/1.1 408"));
  client.close();
  expectAllFreed(world);
}

TEST("timeout: a client that waits for 100 Continue is not slow") {
  const DescriptorCheck descriptors;
  World world;
  Client client = world.connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  world.run({&client});
  world.passTime(20'000);
  world.run({&client});
  EXPECT(client.received.empty());
  world.sendContinue(*world.calls[0]);
  world.run({&client});
  EXPECT_EQ(client.received, std::string(kContinue));
  expectSilenceUntil(world, client, world.options.timeouts.bodyRateWindowMs);
  EXPECT_EQ(world.errors(SessionError::BodyRateTimeout), 1u);
  client.close();
  expectAllFreed(world);
}

TEST("timeout: keep-alive closes idle connections, new and used") {
  const DescriptorCheck descriptors;
  World world;
  answerEcho(world);
  Client fresh = world.connect();
  Client used = world.connect();
  used.send(get("/1"));
  world.run({&fresh, &used});
  world.passTime(world.options.timeouts.keepAliveMs - 1);
  used.send(get("/2"));
  world.run({&fresh, &used});
  EXPECT(!fresh.ended);
  world.passTime(1 + kSlackMs);
  world.run({&fresh, &used});
  EXPECT(fresh.ended && !fresh.wasReset);
  expectSilenceUntil(world, used, world.options.timeouts.keepAliveMs - 1 - kSlackMs);
  EXPECT(used.ended && !used.wasReset);
  EXPECT_EQ(withoutDate(used.received), ok("/1") + ok("/2"));
  fresh.close();
  used.close();
  expectAllFreed(world);
}

TEST("timeout: a request that arrived in time is served, however late the loop looks") {
  const DescriptorCheck descriptors;
  World world;
  answerEcho(world);
  Client client = world.connect();
  world.run({&client});
  client.send(get("/1"));
  world.passTime(10 * world.options.timeouts.keepAliveMs);
  world.run({&client});
  EXPECT_EQ(withoutDate(client.received), ok("/1"));
  client.close();
  expectAllFreed(world);
}

TEST("timeout: a request that waits for room in the ring is not cut as idle") {
  const DescriptorCheck descriptors;
  Options options;
  options.completionBytes = 512;
  World world(options);
  answerEcho(world);
  Client clients[20];
  for (Client& client : clients) client = world.connect();
  world.run();
  world.passTime(options.timeouts.keepAliveMs + kSlackMs);
  for (Client& client : clients) client.send(get("/1"));
  world.run();
  for (Client& client : clients) {
    client.read();
    EXPECT_EQ(withoutDate(client.received), ok("/1"));
    client.close();
  }
  expectAllFreed(world);
}

TEST("timeout: lingering ends when the peer does, or when its time is over") {
  const DescriptorCheck descriptors;
  World world;
  Client polite = world.connect();
  Client stubborn = world.connect();
  for (Client* client : {&polite, &stubborn}) client->send("BAD\r\n\r\n");
  world.run({&polite, &stubborn});
  EXPECT(polite.ended && stubborn.ended);
  EXPECT(polite.received.starts_with("HTTP/1.1 400"));
  EXPECT_EQ(world.openConnections(), 2u);
  polite.close();
  world.run({&stubborn});
  EXPECT_EQ(world.openConnections(), 1u);
  EXPECT_EQ(stubborn.send("more"), 4u);  // read and dropped
  world.run({&stubborn});
  world.passTime(world.options.timeouts.lingerMs + kSlackMs);
  world.run({&stubborn});
  EXPECT_EQ(world.openConnections(), 0u);
  expectAllFreed(world);
}
