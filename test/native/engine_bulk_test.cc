// Large bodies: received in buffers that the application lends, byte for byte what was sent, whoever takes them and
// when.
#include "engine_checks.h"
#include "wire_harness.h"

using namespace gammaloop;
using namespace gammaloop::test;
using namespace gammaloop::records;  // NOLINT: flags

namespace {

// Bytes of which every stretch tells its place.
std::string bulk(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; i++) {
    seed = seed * 1664525 + 1013904223;
    bytes[i] = static_cast<char>('a' + (seed >> 24) % 26);
  }
  return bytes;
}

// In chunks of sizes around that of a piece which is worth lending for.
std::string chunked(const std::string& body) {
  static constexpr size_t kSizes[] = {1, 16 * 1024, 20'000, 5, 70'000, 16 * 1024 - 1, 40'000};
  std::string text;
  size_t at = 0;
  for (size_t i = 0; at < body.size(); i++) {
    const size_t size = std::min(kSizes[i % std::size(kSizes)], body.size() - at);
    char line[20];
    std::snprintf(line, sizeof line, "%zx\r\n", size);
    text.append(line).append(body, at, size).append("\r\n");
    at += size;
  }
  return text + "0\r\n\r\n";
}

// As much as goes, in turns of the engine, until all is sent.
template <typename AnyWorld>
void sendAll(AnyWorld& world, std::vector<Client>& clients, const std::vector<std::string>& texts) {
  std::vector<size_t> sent(clients.size());
  for (int turns = 0; turns < 20'000; turns++) {
    size_t rest = 0;
    for (size_t i = 0; i < clients.size(); i++) {
      fcntl(clients[i].fd(), F_SETFL, O_NONBLOCK);
      if (sent[i] < texts[i].size()) sent[i] += clients[i].send(std::string_view(texts[i]).substr(sent[i], 48 * 1024));
      rest += texts[i].size() - sent[i];
    }
    world.turn();
    if (rest == 0) return;
  }
  fail(__FILE__, __LINE__, "the engine does not read on");
}

}  // namespace

TEST("bulk: bodies of several connections, by length and in chunks, with and without lent buffers") {
  const DescriptorCheck descriptors;
  for (const bool poll : {false, true}) {
    for (const bool lends : {true, false}) {
      Options options;
      options.poll = poll;
      options.limits.bodyBytes = 0;
      World world(options);
      world.lender.isLending = lends;
      world.onBody = [&](Call& call, size_t size) { world.consume(call, static_cast<uint32_t>(size)); };
      world.onBodyEnd = [&](Call& call) { world.respond(call, 200, std::to_string(call.body.size())); };
      std::vector<Client> clients;
      std::vector<std::string> texts;
      std::vector<std::string> bodies;
      for (uint32_t i = 0; i < 5; i++) {
        clients.push_back(world.connect());
        bodies.push_back(bulk(1'000'000 + i * 777, i));
        const std::string head = "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n";
        texts.push_back(i % 2 == 0
                            ? head + "Content-Length: " + std::to_string(bodies[i].size()) + "\r\n\r\n" + bodies[i]
                            : head + "Transfer-Encoding: chunked\r\n\r\n" + chunked(bodies[i]));
        texts[i] += get("/after");  // what follows a body is not taken for it
      }
      sendAll(world, clients, texts);
      world.onRequest = [&](Call& call) { world.respond(call, 200, "after"); };
      for (const auto& call : world.calls) {
        if (call->target == "/after") world.respond(*call, 200, "after");
      }
      world.run({&clients[0], &clients[1], &clients[2], &clients[3], &clients[4]});
      size_t found = 0;
      for (const auto& call : world.calls) {
        if (call->target == "/after") continue;
        found++;
        EXPECT(call->bodyEnded && call->body == bodies[std::stoul(call->target.substr(1))]);
      }
      EXPECT_EQ(found, bodies.size());
      for (size_t i = 0; i < clients.size(); i++) {
        EXPECT_EQ(withoutDate(clients[i].received), ok(std::to_string(bodies[i].size())) + ok("after"));
        clients[i].close();
      }
      EXPECT(lends ? world.lender.pieceCount > 40 : world.lender.pieceCount <= 20);
      world.lender.check();
      expectAllFreed(world);
    }
  }
}

TEST("bulk: an application that takes its time gets no more than the window and a read, and in the end all of it") {
  const DescriptorCheck descriptors;
  WireWorld world;
  std::vector<uint32_t> untaken;
  world.onBody = [&](Wire&, size_t size) { untaken.push_back(static_cast<uint32_t>(size)); };
  Client client = world.connect();
  fcntl(client.fd(), F_SETFL, O_NONBLOCK);
  const std::string body = bulk(2'000'000, 7);
  const std::string text = "PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" + body;
  size_t sent = 0;
  size_t most = 0;
  bool ended = false;
  world.onBodyEnd = [&](Wire&) { ended = true; };
  for (int turns = 0; turns < 20'000 && !ended; turns++) {
    if (sent < text.size()) sent += client.send(std::string_view(text).substr(sent));
    world.turn();
    size_t held = 0;
    for (const uint32_t size : untaken) held += size;
    most = std::max(most, held);
    if (turns % 3 == 0 && !untaken.empty()) {
      world.consume(*world.wires.at(0), untaken.back());
      untaken.pop_back();
    }
  }
  world.run();
  EXPECT(most <= kBodyWindowBytes + Reactor::kReadBufferBytes && most >= kBodyWindowBytes);
  EXPECT(world.wires.at(0)->log == "request PUT /b BK\nbody " + body + "\nbody end 0\n");
  EXPECT(world.lender.pieceCount > 10);
  world.lender.check();
  client.close();
  world.run();
  EXPECT_EQ(world.engine.reactor().connectionCount(), 0u);
}

TEST("bulk: what comes after an upgrade is lent for, too; a client that goes in the middle leaves nothing") {
  const DescriptorCheck descriptors;
  WireWorld world;
  world.onRequest = [&](Wire& wire, std::string_view, uint32_t flags) {
    if (flags & kRequestUpgradeFlag) world.proceed(wire, true);
  };
  world.onBody = [&](Wire& wire, size_t size) { world.consume(wire, static_cast<uint32_t>(size)); };
  std::vector<Client> clients;
  clients.push_back(world.connect());
  clients.push_back(world.connect());
  const std::string body = bulk(900'000, 3);
  sendAll(world, clients,
          {"GET /up HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + body,
           "POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n" + body});
  clients[1].reset();
  world.run();
  EXPECT(world.wires.at(0)->log.ends_with("data " + body + "\n"));
  EXPECT(world.wires.at(1)->closed);
  EXPECT(world.lender.pieceCount > 10);
  clients[0].close();
  world.run();
  world.lender.check();
  EXPECT_EQ(world.engine.reactor().connectionCount(), 0u);
}
