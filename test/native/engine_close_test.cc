// close() drains, cut() does not, and both report.
#include "engine_checks.h"

using namespace gammaloop;
using namespace gammaloop::test;

TEST("close: idle connections at once, busy ones after their answers, partial ones after theirs") {
  const DescriptorCheck descriptors;
  World world;
  Client idle = world.connect();
  Client busy = world.connect();
  Client partial = world.connect();
  Client arriving = world.connect();
  Client streaming = world.connect();
  busy.send(get("/b1") + get("/b2"));
  partial.send("GET /p HTTP/1.1\r\n");
  streaming.send(get("/s"));
  world.run({&idle, &busy, &partial, &arriving, &streaming});
  const auto call = [&world](std::string_view target) -> Call& {
    for (const auto& one : world.calls) {
      if (one->target == target) return *one;
    }
    std::abort();
  };
  world.start(call("/s"), 200);
  world.run();
  arriving.send(get("/a"));  // in the kernel when the server closes
  world.engine.close(world.server);
  world.run({&idle, &busy, &partial, &arriving, &streaming});
  EXPECT(idle.ended && !busy.ended && !partial.ended && !arriving.ended && !streaming.ended);
  EXPECT(!world.connect().isOpen());
  partial.send("Host: a\r\n\r\n");
  world.run({&partial});
  for (const char* target : {"/b1", "/b2", "/p", "/a"}) world.respond(call(target), 200, target);
  world.end(call("/s"));
  world.run({&busy, &partial, &arriving, &streaming});
  EXPECT_EQ(withoutDate(busy.received), ok("/b1") + ok("/b2", "connection: close\r\n"));
  EXPECT_EQ(withoutDate(partial.received), ok("/p", "connection: close\r\n"));
  EXPECT_EQ(withoutDate(arriving.received), ok("/a", "connection: close\r\n"));
  EXPECT(busy.ended && partial.ended && arriving.ended && streaming.ended);
  EXPECT(!world.serverClosed);  // lingering
  for (Client* client : {&idle, &busy, &partial, &arriving, &streaming}) client->close();
  world.run();
  EXPECT(world.serverClosed);
  world.engine.forget(world.server);
  EXPECT(!world.engine.has(world.server));
}

TEST("close: a connection that sent an empty line behind its request is idle, in pieces, too") {
  const DescriptorCheck descriptors;
  for (const bool halfClosed : {false, true}) {
    World world;
    answerEcho(world);
    Client client = world.connect();
    client.send(get("/1") + "\r");
    world.run({&client});
    client.send("\n\r\n");
    world.run({&client});
    if (halfClosed) client.halfClose();
    if (!halfClosed) world.engine.close(world.server);
    world.run({&client});
    EXPECT(client.ended);
    EXPECT_EQ(withoutDate(client.received), ok("/1"));
    client.close();
    expectAllFreed(world);
  }
}

TEST("close: reported in the turn in which the last connection goes, also without lingering") {
  const DescriptorCheck descriptors;
  Options options;
  options.timeouts.lingerMs = 0;
  World world(options);
  Client client = world.connect();
  world.run({&client});
  world.engine.close(world.server);
  EXPECT(world.engine.turn().ok());
  EXPECT(world.serverClosed);
  client.close();
  expectAllFreed(world);
}

TEST("close: a dropped body that ends after it does not keep the connection") {
  const DescriptorCheck descriptors;
  World world;
  world.onRequest = [&](Call& call) { world.respond(call, 200, ""); };
  Client client = world.connect();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
  world.run({&client});
  world.engine.close(world.server);
  world.run({&client});
  client.send(std::string(100, 'x'));
  world.run({&client});
  world.passTime(100);
  world.run({&client});
  EXPECT(client.ended);
  client.close();
  expectAllFreed(world);
}

TEST("cut: says what it cut, and frees it") {
  const DescriptorCheck descriptors;
  for (const bool inBatch : {false, true}) {
    World world;
    Client idle = world.connect();
    Client busy = world.connect();
    CutReport report;
    if (inBatch) {
      world.onRequest = [&](Call& call) {
        if (call.target == "/2") report = world.engine.cut(world.server);
      };
    }
    busy.send(get("/1") + get("/2"));
    world.run({&idle, &busy});
    if (!inBatch) report = world.engine.cut(world.server);
    world.run({&idle, &busy});
    EXPECT_EQ(report.exchanges, 2u);
    EXPECT_EQ(report.connections, 1u);
    EXPECT(idle.ended && busy.ended);
    for (const auto& call : world.calls) EXPECT_EQ(call->aborted, records::kAbortServerClosing);
    idle.close();
    busy.close();
    expectAllFreed(world);
  }
}
