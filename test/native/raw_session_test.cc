// Wire sessions without HTTP, and connections that the engine makes.
#include "wire_checks.h"

using namespace gammaloop;
using namespace gammaloop::test;
using namespace gammaloop::records;  // NOLINT: flags

namespace {

Options rawOptions(bool poll, bool tcp) {
  Options options = WireWorld::wireOptions();
  options.timeouts = {0, 0, 0, 0, 0, 0, 2000};
  options.poll = poll;
  options.tcp = tcp;
  return options;
}

}  // namespace

TEST("raw: all is data from the first byte on, also what looks like HTTP") {
  for (const bool poll : {false, true}) {
    const DescriptorCheck descriptors;
    WireWorld world(rawOptions(poll, false), ServerKind::Raw);
    Client client = world.connect();
    client.send("GET / HTTP/1.1\r\n\r\n");
    world.run({&client});
    client.halfClose();
    world.run({&client});
    Wire& wire = *world.wires.at(0);
    EXPECT_EQ(wire.log, "data GET / HTTP/1.1\r\n\r\n\nend\n");
    world.write(wire, "any bytes", kWireWriteNotifyFlag);
    world.run({&client});
    EXPECT_EQ(wire.flushed, 9u);
    EXPECT_EQ(client.received, "any bytes");
    world.write(wire, "last", kWireWriteCloseFlag);
    world.run({&client});
    EXPECT_EQ(client.received, "any byteslast");
    expectNothingLeft(world);
  }
}

TEST("raw: no timeout, no end of patience: a silent connection stays") {
  const DescriptorCheck descriptors;
  WireWorld world(rawOptions(false, false), ServerKind::Raw);
  Client client = world.connect();
  world.run({&client});
  world.passTime(3'600'000);
  world.run({&client});
  EXPECT_EQ(world.wires.at(0)->log, "");
  world.setInactivity(*world.wires[0], 1000);
  world.run({&client});
  world.passTime(2000);
  world.run({&client});
  EXPECT_EQ(world.wires[0]->log, "idle inactivity\n");
  world.destroy(*world.wires[0]);
  expectNothingLeft(world);
}

TEST("raw: the window bounds what is on its way to the application") {
  const DescriptorCheck descriptors;
  WireWorld world(rawOptions(false, false), ServerKind::Raw);
  size_t received = 0;
  world.onBody = [&](Wire&, size_t size) { received += size; };
  Client client = world.connect();
  const std::string block = pattern(1'000'000);
  size_t sent = 0;
  for (int i = 0; i < 200; i++) {
    sent += client.send(std::string_view(block).substr(sent));
    world.turn();
  }
  EXPECT(received < kBodyWindowBytes + Reactor::kReadBufferBytes);
  for (int i = 0; i < 5000 && received < block.size(); i++) {
    sent += client.send(std::string_view(block).substr(sent));
    world.consume(*world.wires.at(0), 100'000);
    world.turn();
  }
  EXPECT_EQ(received, block.size());
  world.destroy(*world.wires.at(0));
  expectNothingLeft(world);
}

TEST("connections that the engine makes: connected, both ways, closed") {
  for (const bool poll : {false, true}) {
    for (const bool tcp : {false, true}) {
      const DescriptorCheck descriptors;
      WireWorld world(rawOptions(poll, tcp), ServerKind::Raw);
      const Result<SlabKey> made = world.connectByEngine();
      EXPECT(made.ok());
      world.run();
      EXPECT_EQ(world.wires.size(), size_t{2});
      Wire& client = *world.wires.at(0);
      Wire& peer = *world.wires.at(1);
      EXPECT_EQ(client.log, "connected\n");
      world.write(client, "question");
      world.run();
      EXPECT_EQ(peer.log, "data question\n");
      world.write(peer, "answer", kWireWriteCloseFlag);
      world.run();
      EXPECT_EQ(client.log, "connected\ndata answer\nend\n");
      world.shutdown(client);
      expectNothingLeft(world);
    }
  }
}

TEST("raw: bytes are sent at once where all before them has left, as far as the system takes them") {
  const DescriptorCheck descriptors;
  WireWorld world(rawOptions(false, false), ServerKind::Raw);
  Client client = world.connect(4096);
  world.run({&client});
  Wire& wire = *world.wires.at(0);
  const std::string large(1'000'000, 'x');
  const auto sendNow = [&](uint32_t position, std::string_view bytes) {
    return world.engine.sendNow(wire.key, position, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  };
  EXPECT_EQ(sendNow(0, "first "), 6u);
  EXPECT_EQ(client.read(), 6u);
  EXPECT_EQ(sendNow(0, "again"), 0u);
  world.write(wire, "second ");
  EXPECT_EQ(sendNow(6 + 7, "third"), 0u);  // what was submitted has not left
  world.run({&client});
  EXPECT_EQ(sendNow(6 + 7, "third "), 6u);
  const size_t sent = sendNow(19, large);
  EXPECT(sent > 0 && sent < large.size());
  const auto position = static_cast<uint32_t>(19 + sent);
  EXPECT_EQ(sendNow(position, large), 0u);
  world.write(wire, "rest");
  world.run({&client});
  EXPECT_EQ(client.received, "first second third " + large.substr(0, sent) + "rest");
  client.close();
  EXPECT_EQ(sendNow(position + 4, "nobody"), 0u);
  world.run();
  EXPECT_EQ(wire.log, "closed " + std::to_string(EPIPE) + "\n");
  EXPECT_EQ(sendNow(position + 4, "nobody"), 0u);
  EXPECT_EQ(sendNow(19, ""), 0u);
  expectNothingLeft(world);
}

TEST("raw: what comes is received by hand where the application says so, and as data again when it does not") {
  for (const bool poll : {false, true}) {
    const DescriptorCheck descriptors;
    WireWorld world(rawOptions(poll, false), ServerKind::Raw);
    std::vector<uint8_t> memory(1000);
    std::string received;
    bool takes = true;
    world.onReadable = [&](Wire& wire) {
      if (!takes) return;
      const size_t count = world.engine.receive(wire.key, memory);
      received.append(memory.begin(), memory.begin() + static_cast<std::ptrdiff_t>(count));
    };
    Client client = world.connect();
    client.send("as data");
    world.run({&client});
    Wire& wire = *world.wires.at(0);
    EXPECT_EQ(world.engine.receive(wire.key, memory), 0u);  // nobody said so yet
    world.setReading(wire, true, true);
    const std::string block = pattern(100'000);
    for (size_t sent = 0; sent < block.size() || received.size() < block.size();) {
      sent += client.send(std::string_view(block).substr(sent));
      world.turn();
    }
    EXPECT_EQ(received, block);
    takes = false;  // told again as long as something is there
    client.send("late");
    for (int i = 0; i < 3; i++) world.turn();
    EXPECT_EQ(received, block);
    world.setReading(wire, false, true);
    world.run({&client});
    EXPECT_EQ(world.engine.receive(wire.key, memory), 0u);  // paused
    takes = true;
    world.setReading(wire, true, true);
    world.run({&client});
    EXPECT_EQ(received, block + "late");
    EXPECT_EQ(world.engine.receive(wire.key, memory), 0u);  // nothing there
    world.setReading(wire, true, false);
    client.send(" again");
    world.run({&client});
    EXPECT_EQ(wire.log, "data as data again\n");
    world.setReading(wire, true, true);
    world.run({&client});
    client.halfClose();
    world.run({&client});
    EXPECT_EQ(wire.log, "data as data again\nend\n");
    EXPECT_EQ(world.engine.receive(wire.key, memory), 0u);  // over
    world.destroy(wire);
    expectNothingLeft(world);
    EXPECT_EQ(world.engine.receive(wire.key, memory), 0u);
  }
}

TEST("raw: a FIN that has nobody to go to any more is a reset, and nothing where the peer's end was read") {
  for (const bool wasRead : {false, true}) {
    const DescriptorCheck descriptors;
    WireWorld world(rawOptions(false, true), ServerKind::Raw);
    Client client = world.connect();
    world.run({&client});
    Wire& wire = *world.wires.at(0);
    if (wasRead) {
      client.halfClose();
      world.run({&client});
      EXPECT_EQ(wire.log, "end\n");
    }
    client.reset();
    world.shutdown(wire);
    world.engine.settleIfNeeded();  // before the poller has told of it
    world.run();
    EXPECT_EQ(wire.log, wasRead ? "end\nclosed 0\n" : "closed " + std::to_string(ECONNRESET) + "\n");
    expectNothingLeft(world);
  }
}

TEST("connections that the engine makes: refused, given up, and impossible ones") {
  const DescriptorCheck descriptors;
  WireWorld world(rawOptions(false, true), ServerKind::Raw);
  world.engine.stopListening(world.server);
  EXPECT(world.connectByEngine().ok());
  world.run();
  EXPECT_EQ(world.wires.at(0)->log, "closed " + std::to_string(ECONNREFUSED) + "\n");
  EXPECT(world.connectByEngine().ok());
  world.turn();
  ConnectOptions nowhere;
  nowhere.address = "no literal";
  const Result<SlabKey> refused = world.engine.connect(world.server, nowhere, "");
  EXPECT(!refused.ok() && refused.error().code == EINVAL);
  const Result<SlabKey> missing = world.engine.connect(world.server, nowhere, "/nowhere/socket");
  EXPECT(!missing.ok() && missing.error().code == ENOENT);
  expectNothingLeft(world);
}

TEST("connections that the engine makes: destroyed before they are there") {
  const DescriptorCheck descriptors;
  WireWorld world(rawOptions(false, true), ServerKind::Raw);
  const Result<SlabKey> made = world.connectByEngine();
  EXPECT(made.ok());
  Connection* connection = world.engine.connection(made.value());
  EXPECT(connection != nullptr && connection->state() == ConnectionState::Connecting);
  connection->destroy(CloseReason::Local, false);
  world.run();
  EXPECT_EQ(world.wires.at(0)->log, "closed 0\n");
  for (const auto& wire : world.wires) {
    if (!wire->closed) world.destroy(*wire);
  }
  expectNothingLeft(world);
}
