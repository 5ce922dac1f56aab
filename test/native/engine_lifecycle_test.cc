// Ends of every kind, at every moment: whatever happens, what was created is freed, and the application is told once.
#include "engine_checks.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

const std::string kConversation =
    get("/1") + "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" +
    "POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\nx: y\r\n\r\n" + get("/4");
const std::string kAnswers = ok("/1") + ok("/2hello") + ok("/3wiki") + ok("/4");
const std::string kBadRequest = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

// Answers that the last of them, or the only one, marks as such.
std::string withoutClose(std::string text) {
  const std::string field = "connection: close\r\n";
  for (size_t at; (at = text.find(field)) != std::string::npos;) text.erase(at, field.size());
  return text;
}

enum class Answering { AtOnce, Never, Late };

}  // namespace

TEST("end: FIN at every point of a conversation") {
  const DescriptorCheck descriptors;
  for (const bool poll : {false, true}) {
    Options options;
    options.poll = poll;
    World world(options);
    answerEcho(world);
    for (size_t at = 0; at <= kConversation.size(); at++) {
      Client client = world.connect();
      client.send(std::string_view(kConversation).substr(0, at));
      client.halfClose();
      world.run({&client});
      EXPECT(client.ended && !client.wasReset);
      const std::string output = withoutClose(withoutDate(client.received));
      // Whole answers to what was whole, then a 400 where something was begun.
      const std::string refusal = withoutClose(kBadRequest);
      const std::string answers = output.ends_with(refusal) ? output.substr(0, output.size() - refusal.size()) : output;
      EXPECT(kAnswers.starts_with(answers));
      EXPECT(at != kConversation.size() || output == kAnswers);
      EXPECT(at != 0 || output.empty());
      client.close();
      expectFreed(world);
    }
    EXPECT(world.errors(HttpError::UnexpectedEnd) > 100);
    expectAllFreed(world);
  }
}

TEST("end: a half-closed client that pipelined gets every answer, however late") {
  const DescriptorCheck descriptors;
  for (const std::vector<size_t>& order : {std::vector<size_t>{0, 1, 2}, {2, 1, 0}, {1, 2, 0}}) {
    World world;
    Client client = world.connect();
    client.send(get("/0") + get("/1") + get("/2"));
    client.halfClose();
    world.run({&client});
    for (const auto& call : world.calls) {
      EXPECT(call->softAborted);
      EXPECT_EQ(call->aborted, 0u);
    }
    for (const size_t i : order) {
      world.respond(*world.calls[i], 200, world.calls[i]->target);
      world.run({&client});
    }
    EXPECT_EQ(withoutClose(withoutDate(client.received)), ok("/0") + ok("/1") + ok("/2"));
    EXPECT(client.ended);
    client.close();
    expectAllFreed(world);
  }
}

TEST("end: reset at every point, whether answered at once, never, or too late") {
  const DescriptorCheck descriptors;
  for (const bool tcp : {false, true}) {
    for (const Answering answering : {Answering::AtOnce, Answering::Never, Answering::Late}) {
      Options options;
      options.tcp = tcp;
      World world(options);
      if (answering == Answering::AtOnce) answerEcho(world);
      const size_t step = tcp ? 17 : 1;
      for (size_t at = 0; at <= kConversation.size(); at += step) {
        Client client = world.connect();
        client.send(std::string_view(kConversation).substr(0, at));
        world.turn();
        client.reset();
        expectFreed(world);
        if (answering == Answering::Late && !world.calls.empty()) {
          const Call& stale = *world.calls.back();
          EXPECT_EQ(stale.aborted, records::kAbortClient);
          world.consume(stale, 10);
          world.respond(stale, 200, "late");
          world.write(stale, "late", true);
          world.end(stale, "", true);
          world.sendContinue(stale);
          world.destroy(stale);
          expectFreed(world);
        }
      }
      expectAllFreed(world);
    }
  }
}

TEST("end: an answer that waited for its turn and never had it counts as aborted") {
  const DescriptorCheck descriptors;
  World world;
  Client client = world.connect();
  client.send(get("/1") + get("/2"));
  world.run();
  world.respond(*world.calls[1], 200, "two");
  world.run();
  client.reset();
  expectFreed(world);
  EXPECT_EQ(world.counters().requestsAborted, 2u);
  EXPECT_EQ(world.calls[0]->aborted, records::kAbortClient);
  EXPECT_EQ(world.calls[1]->aborted, 0u);  // it was answered: the application has turned away
  expectAllFreed(world);
}

TEST("end: reset in the middle of a streamed response") {
  const DescriptorCheck descriptors;
  for (const bool tcp : {false, true}) {
    Options options;
    options.tcp = tcp;
    World world(options);
    Client client = world.connect();
    client.send(get("/"));
    world.run();
    const Call& call = *world.calls[0];
    world.start(call, 200);
    for (int i = 0; i < 100; i++) world.write(call, std::string(100'000, 'x'), true);
    world.run();
    client.read(10'000);
    client.reset();
    expectFreed(world);
    EXPECT_EQ(call.aborted, records::kAbortClient);
    expectAllFreed(world);
  }
}

TEST("end: the application destroys an exchange; the peer sees a reset, the others go on") {
  const DescriptorCheck descriptors;
  Options options;
  options.tcp = true;
  World world(options);
  Client one = world.connect();
  Client other = world.connect();
  one.send(get("/1") + get("/2"));
  other.send(get("/3"));
  world.run({&one, &other});
  for (const auto& call : world.calls) {
    if (call->target == "/1") world.destroy(*call);
    if (call->target == "/3") world.respond(*call, 200, "three");
  }
  world.run({&one, &other});
  EXPECT(one.wasReset);
  EXPECT_EQ(withoutDate(other.received), ok("three"));
  EXPECT_EQ(world.counters().requestsAborted, 2u);
  other.close();
  expectAllFreed(world);
}

TEST("end: a body that is not as long as announced ends the connection, not the process") {
  const DescriptorCheck descriptors;
  for (const bool tooLong : {false, true}) {
    World world;
    Client client = world.connect();
    client.send(get("/"));
    world.run({&client});
    const Call& call = *world.calls[0];
    world.start(call, 200, 5);
    world.write(call, tooLong ? "123456" : "1234");
    world.end(call);
    world.run({&client});
    EXPECT(client.ended);
    EXPECT_EQ(call.aborted, records::kAbortLocal);
    EXPECT_EQ(world.errors(SessionError::ResponseLength), 1u);
    client.close();
    expectAllFreed(world);
  }
}

TEST("end: unread bodies: a small one is dropped and the connection kept, a large one closes it") {
  const DescriptorCheck descriptors;
  for (const bool chunked : {false, true}) {
    for (const size_t size : {size_t{100'000}, size_t{900'000}}) {
      World world;
      world.onRequest = [&](Call& call) { world.respond(call, 200, call.target); };
      Client client = world.connect();
      client.send("POST /1 HTTP/1.1\r\nHost: a\r\n" + (chunked
                                                           ? "Transfer-Encoding: chunked\r\n\r\nf4240\r\n"
                                                           : "Content-Length: " + std::to_string(size) + "\r\n\r\n"));
      world.run({&client});
      std::string body(chunked ? 1'000'000 : size, 'x');
      if (chunked && size < 200'000) continue;
      body += chunked ? "\r\n0\r\n\r\n" : "";
      body += get("/2");
      size_t sent = 0;
      for (int i = 0; i < 100 && sent < body.size(); i++) {
        sent += client.send(std::string_view(body).substr(sent));
        world.run({&client});
      }
      const bool kept = size == 100'000;
      EXPECT(client.received.starts_with("HTTP/1.1 200"));
      EXPECT_EQ(client.ended, !kept);
      EXPECT_EQ(countOf(client.received, "HTTP/1.1 200"), kept ? 2u : 1u);
      client.close();
      expectAllFreed(world);
    }
  }
}

TEST("end: limits of connections and of requests a connection") {
  const DescriptorCheck descriptors;
  Options options;
  options.limits.connections = 2;
  options.limits.requestsPerConnection = 2;
  World world(options);
  answerEcho(world);
  Client one = world.connect();
  Client two = world.connect();
  Client three = world.connect();
  world.run({&one, &two, &three});
  EXPECT(three.ended && !one.ended && !two.ended);
  EXPECT_EQ(world.counters().connectionsDropped, 1u);
  one.send(get("/1") + get("/2") + get("/3"));
  world.run({&one, &two});
  EXPECT_EQ(withoutDate(one.received), ok("/1") + ok("/2", "connection: close\r\n"));
  EXPECT(one.ended);
  one.close();
  world.run();
  Client four = world.connect();
  four.send(get("/4"));
  world.run({&four});
  EXPECT_EQ(withoutDate(four.received), ok("/4"));
  two.close();
  four.close();
  expectAllFreed(world);
}

TEST("end: an engine that goes takes everything with it") {
  const DescriptorCheck descriptors;
  Client clients[4];
  {
    World world;
    for (Client& client : clients) client = world.connect();
    clients[1].send("GET / HT");
    clients[2].send(get("/1") + get("/2"));
    clients[3].send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    world.run();
    world.respond(*world.calls[0], 200, "never sent");
  }
  for (Client& client : clients) {
    client.read();
    EXPECT(client.ended);
    client.close();
  }
}
