// timeouts.handler: 503 for what the application does not answer, by a clock that the tests set.
#include "engine_checks.h"

using namespace gammaloop;
using namespace gammaloop::test;

TEST("timeout: a handler that does not answer gets 503, and the connection goes on") {
  const DescriptorCheck descriptors;
  Options options;
  options.timeouts.handlerMs = 1000;
  World world(options);
  Client client = world.connect();
  client.send(get("/1"));
  world.run({&client});
  expectSilenceUntil(world, client, 1000);
  EXPECT_EQ(withoutDate(client.received), std::string("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"));
  EXPECT_EQ(world.calls[0]->aborted, records::kAbortHandlerTimeout);
  world.respond(*world.calls[0], 200, "too late");
  world.onRequest = [&world](Call& call) { world.respond(call, 200, call.target); };
  client.received.clear();
  client.send(get("/2"));
  world.run({&client});
  EXPECT_EQ(withoutDate(client.received), ok("/2"));
  client.close();
  expectAllFreed(world);
}

TEST("timeout: handlers time out in a row, with answers between them that waited for their turn") {
  const DescriptorCheck descriptors;
  Options options;
  options.timeouts.handlerMs = 1000;
  options.limits.pipelinedRequests = 5;
  World world(options);
  Client client = world.connect();
  for (int i = 1; i <= 8; i++) client.send(get("/" + std::to_string(i)));
  world.run({&client});
  EXPECT_EQ(world.calls.size(), 5u);
  world.respond(*world.calls[1], 200, "two");
  world.respond(*world.calls[3], 200, "four");
  world.run({&client});
  expectSilenceUntil(world, client, 1000);
  EXPECT_EQ(countOf(client.received, "HTTP/1.1 503"), 3u);
  EXPECT_EQ(countOf(client.received, "HTTP/1.1 200"), 2u);
  EXPECT_EQ(world.errors(SessionError::HandlerTimeout), 3u);
  EXPECT_EQ(world.calls.size(), 8u);  // those that had to wait are taken now, with their own time
  expectSilenceUntil(world, client, 1000);
  EXPECT_EQ(countOf(client.received, "HTTP/1.1 503"), 6u);
  client.close();
  expectAllFreed(world);
}

TEST("timeout: what comes of a body after its handler's 503 is not for the application") {
  const DescriptorCheck descriptors;
  Options options;
  options.timeouts.handlerMs = 1000;
  World world(options);
  Client client = world.connect();
  client.send(get("/1") + "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
  world.run({&client});
  world.start(*world.calls[0], 200);
  world.run({&client});
  world.passTime(1000 + kSlackMs);
  world.run({&client});
  EXPECT_EQ(world.calls[1]->aborted, records::kAbortHandlerTimeout);
  client.send("world");
  world.run({&client});
  EXPECT_EQ(world.calls[1]->body, std::string("hello"));
  world.end(*world.calls[0]);
  world.run({&client});
  EXPECT_EQ(countOf(client.received, "HTTP/1.1 503"), 1u);
  client.close();
  expectAllFreed(world);
}
