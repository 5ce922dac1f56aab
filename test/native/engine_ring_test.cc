// What happens when a ring between the engine and the application is full, or goes round.
#include "engine_checks.h"

using namespace gammaloop;
using namespace gammaloop::test;

TEST("ring: a tiny completion ring stalls and goes on; nothing is lost or reordered") {
  const DescriptorCheck descriptors;
  for (const uint32_t bytes : {512, 1024, 4096}) {
    Options options;
    options.completionBytes = bytes;
    World world(options);
    answerEcho(world);
    std::vector<Client> clients;
    std::string expected;
    for (int i = 0; i < 40; i++) expected += ok("/" + std::to_string(i));
    for (int c = 0; c < 10; c++) {
      clients.push_back(world.connect());
      for (int i = 0; i < 40; i++) clients.back().send(get("/" + std::to_string(i)));
    }
    world.run();
    for (Client& client : clients) {
      world.run({&client});
      EXPECT_EQ(withoutDate(client.received), expected);
      client.close();
    }
    EXPECT(world.batches > 5);
    expectAllFreed(world);
  }
}

TEST("ring: a full ring holds aborts back in order, and bodies until there is room") {
  const DescriptorCheck descriptors;
  Options options;
  options.completionBytes = 2048;
  World world(options);
  std::vector<Client> clients;
  for (int c = 0; c < 100; c++) {
    clients.push_back(world.connect());
    clients.back().send("POST /" + std::to_string(c) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n");
  }
  world.run();
  EXPECT_EQ(world.calls.size(), 100u);
  const std::string body = pattern(2000);
  for (Client& client : clients) {
    client.send(body);
    client.halfClose();
  }
  world.run();
  for (const auto& call : world.calls) {
    EXPECT(call->body == body);
    EXPECT(call->softAborted);
    EXPECT_EQ(call->aborted, records::kAbortClient);
  }
  for (Client& client : clients) client.close();
  world.run();
  expectAllFreed(world);
}

TEST("ring: a small submission ring goes round many times, and is drained when full") {
  const DescriptorCheck descriptors;
  Options options;
  options.submissionBytes = 1024;
  World world(options);
  const std::string body = pattern(300);
  world.onRequest = [&](Call& call) {
    if (call.serial % 3 != 0) return world.respond(call, 200, body.substr(0, static_cast<size_t>(call.serial % 300)));
    world.start(call, 200);
    for (size_t at = 0; at < 300; at += 37) world.write(call, std::string_view(body).substr(at, 37));
    world.end(call);
  };
  Client client = world.connect();
  std::string requests;
  for (int i = 0; i < 300; i++) requests += get("/");
  client.send(requests);
  world.run({&client});
  EXPECT(world.flushes > 50);
  EXPECT_EQ(countOf(client.received, "HTTP/1.1 200"), 300u);
  EXPECT_EQ(countOf(client.received, "\r\n0\r\n\r\n"), 100u);
  client.close();
  expectAllFreed(world);
}
