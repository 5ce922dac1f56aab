// Order, and backpressure both ways.
#include "engine_checks.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

// Undoes the chunked coding of one response.
std::string unchunk(std::string_view text) {
  text.remove_prefix(text.find("\r\n\r\n") + 4);
  std::string body;
  while (true) {
    const size_t size = std::stoul(std::string(text.substr(0, text.find("\r\n"))), nullptr, 16);
    text.remove_prefix(text.find("\r\n") + 2);
    if (size == 0) return body;
    body += text.substr(0, size);
    text.remove_prefix(size + 2);
  }
}

}  // namespace

TEST("flow: answers in any order leave in the order of the requests") {
  const DescriptorCheck descriptors;
  for (const bool poll : {false, true}) {
    std::vector<size_t> order = {0, 1, 2, 3};
    do {
      Options options;
      options.poll = poll;
      World world(options);
      Client client = world.connect();
      for (int i = 0; i < 4; i++) client.send(get("/" + std::to_string(i)));
      world.run();
      for (const size_t i : order) {
        const Call& call = *world.calls[i];
        if (i % 2 == 0) {
          world.respond(call, 200, call.target);
        } else {
          world.start(call, 200, 2);
          world.write(call, call.target.substr(0, 1));
          world.run();
          world.write(call, call.target.substr(1));
          world.end(call);
        }
        world.run({&client});
      }
      EXPECT_EQ(withoutDate(client.received), ok("/0") + ok("/1") + ok("/2") + ok("/3"));
      client.close();
      expectAllFreed(world);
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST("flow: heads as asked for: reason, fields, date, connection, lengths, no body") {
  const DescriptorCheck descriptors;
  World world;
  int number = 0;
  world.onRequest = [&](Call& call) {
    switch (number++) {
      case 0:
        return world.respond(call, 200, "b", "x-a: 1\r\n", 0, "Fine");
      case 1:
        return world.respond(call, 200, "b", "date: now\r\n", records::kHeadHasDateFlag);
      case 2:
        return world.respond(call, 204, "ignored");
      case 3:
        world.start(call, 304, 12);
        return world.end(call);
      case 4:
        world.start(call, 200, -1, "trailer: x\r\n");
        world.write(call, "");
        world.write(call, "0123456789abcdefg");
        return world.end(call, "x: y\r\n");
      case 5:
        world.start(call, 200, 5'000'000'000);  // HEAD: announced, not sent
        world.write(call, "not sent");
        return world.end(call);
      default:
        return world.respond(call, 418, "", "connection: close\r\n",
                             records::kHeadHasConnectionFlag | records::kHeadCloseFlag);
    }
  };
  Client client = world.connect();
  for (int i = 0; i < 5; i++) client.send(get("/"));
  client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get("/"));
  world.run({&client});
  EXPECT_EQ(countOf(client.received, "date: "), 7u);
  world.run({&client});
  EXPECT_EQ(withoutDate(client.received.erase(client.received.find("date: now\r\n"), 11)),
            "HTTP/1.1 200 Fine\r\nx-a: 1\r\ncontent-length: 1\r\n\r\nb" + ok("b") + "HTTP/1.1 204 No Content\r\n\r\n" +
                "HTTP/1.1 304 Not Modified\r\ncontent-length: 12\r\n\r\n" +
                "HTTP/1.1 200 OK\r\ntrailer: x\r\ntransfer-encoding: chunked\r\n\r\n11\r\n0123456789abcdefg\r\n0\r\nx: "
                "y\r\n\r\n" +
                "HTTP/1.1 200 OK\r\ncontent-length: 5000000000\r\n\r\n" +
                "HTTP/1.1 418 I'm a Teapot\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  EXPECT(client.ended);
  client.close();
  expectAllFreed(world);
}

TEST("flow: a response larger than the socket's buffer, to a slow reader; kWritable exactly when promised") {
  const DescriptorCheck descriptors;
  for (const bool tcp : {false, true}) {
    Options options;
    options.tcp = tcp;
    World world(options);
    Client client = world.connect(4096);
    client.send(get("/"));
    world.run();
    const Call& call = *world.calls[0];
    const std::string body = pattern(8'000'000);
    world.start(call, 200, static_cast<int64_t>(body.size()));
    size_t written = 0;
    int asked = 0;
    // A source that writes 100,000 bytes at a time and waits for room after each.
    for (int step = 0; step < 200'000 && client.received.size() < body.size(); step++) {
      if (call.writable == asked && written < body.size()) {
        world.write(call, std::string_view(body).substr(written, 100'000), true);
        written += std::min<size_t>(100'000, body.size() - written);
        asked++;
        if (written == body.size()) world.end(call);
      }
      world.turn();
      world.turn();
      EXPECT(call.writable <= asked);
      client.read(50'000);
    }
    world.run({&client});
    EXPECT_EQ(asked, 80);
    EXPECT(call.writable >= 79);  // the last piece's word has no taker when the end left with it
    EXPECT(client.received.ends_with(body));
    client.close();
    expectAllFreed(world);
  }
}

TEST("flow: no kWritable while the reader does not read, one when it does") {
  const DescriptorCheck descriptors;
  World world;
  Client client = world.connect();
  client.send(get("/"));
  world.run();
  const Call& call = *world.calls[0];
  world.start(call, 200);
  const std::string piece = pattern(200'000);
  for (int i = 0; i < 5; i++) world.write(call, piece, i == 4);
  world.run();
  EXPECT_EQ(call.writable, 0);
  world.run();
  EXPECT_EQ(call.writable, 0);
  world.run({&client});
  EXPECT_EQ(call.writable, 1);
  world.end(call, "", true);
  world.run({&client});
  EXPECT_EQ(call.writable, 2);
  EXPECT_EQ(unchunk(client.received), piece + piece + piece + piece + piece);
  EXPECT_EQ(world.engine.exchangesAlive(), 0u);
  client.close();
  expectAllFreed(world);
}

TEST("flow: what is submitted outside of a turn is answered by completions in the turn that follows") {
  const DescriptorCheck descriptors;
  World world;
  Client client = world.connect();
  client.send(get("/"));
  world.run();
  const Call& call = *world.calls[0];
  world.start(call, 200);
  world.write(call, "x", true);
  EXPECT(world.engine.turn().ok());  // without the settling that usually comes first
  EXPECT_EQ(call.writable, 1);
  world.end(call, "", true);
  EXPECT(world.engine.turn().ok());
  EXPECT_EQ(call.writable, 2);
  client.close();
  expectAllFreed(world);
}

TEST("flow: a client that pipelines and does not read is not read from") {
  const DescriptorCheck descriptors;
  Options options;
  options.limits.writeBufferBytes = 100'000;
  World world(options);
  const std::string body = pattern(50'000);
  world.onRequest = [&](Call& call) { world.respond(call, 200, body); };
  Client client = world.connect();
  for (int i = 0; i < 200; i++) client.send(get("/"));
  world.run();
  const size_t before = world.calls.size();
  EXPECT(before < 200);
  world.run({&client});
  EXPECT_EQ(world.calls.size(), 200u);
  EXPECT_EQ(countOf(client.received, body), 200u);
  client.close();
  expectAllFreed(world);
}

TEST("flow: at most so many pipelined requests are in flight") {
  const DescriptorCheck descriptors;
  Options options;
  options.limits.pipelinedRequests = 3;
  World world(options);
  Client client = world.connect();
  for (int i = 0; i < 10; i++) client.send(get("/" + std::to_string(i)));
  std::string expected;
  for (size_t i = 0; i < 10; i++) {
    world.run({&client});
    EXPECT(world.calls.size() == std::min<size_t>(i + 3, 10));
    world.respond(*world.calls[i], 200, world.calls[i]->target);
    expected += ok(world.calls[i]->target);
  }
  world.run({&client});
  EXPECT_EQ(withoutDate(client.received), expected);
  client.close();
  expectAllFreed(world);
}

TEST("flow: the body window stops reading, kConsume opens it") {
  const DescriptorCheck descriptors;
  for (const bool chunked : {false, true}) {
    World world;
    Client client = world.connect();
    const std::string body = pattern(1'000'000);
    std::string bytes = "POST / HTTP/1.1\r\nHost: a\r\n";
    if (chunked) {
      bytes += "Transfer-Encoding: chunked\r\n\r\nc8\r\n" + body.substr(0, 200) + "\r\nf4178\r\n" + body.substr(200) +
               "\r\n0\r\n\r\n";
    } else {
      bytes += "Content-Length: 1000000\r\n\r\n" + body;
    }
    size_t sent = 0;
    const auto pump = [&] {
      for (size_t before = sent + 1; before != sent;) {
        before = sent;
        sent += client.send(std::string_view(bytes).substr(sent));
        world.run({&client});
      }
    };
    pump();
    const Call& call = *world.calls[0];
    size_t window = records::kBodyWindowBytes;
    // What one read brings is not parted.
    const auto isFilled = [&] {
      const size_t least = std::min(window, body.size());
      return call.body.size() >= least && call.body.size() < least + Reactor::kReadBufferBytes;
    };
    EXPECT(isFilled());
    while (!call.bodyEnded && window < 2'000'000) {
      world.consume(call, 100'000);
      window += 100'000;
      pump();
      EXPECT(isFilled());
    }
    EXPECT(call.body == body);
    world.respond(call, 200, "");
    client.send(get("/2"));
    world.run({&client});
    EXPECT_EQ(world.calls.size(), 2u);
    client.close();
    expectAllFreed(world);
  }
}
