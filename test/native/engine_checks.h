// What the engine tests share beside the harness: checks at the end of each, and short ways to say common things.
#pragma once

#include <algorithm>
#include <string>

#include "engine_harness.h"
#include "test.h"

namespace gammaloop::test {

// First in a test, so that it looks last: no descriptor is left.
struct DescriptorCheck {
  const int before = openDescriptors();
  ~DescriptorCheck() { EXPECT_EQ(openDescriptors(), before); }
};

// The clients have gone; closes the server. Created == freed.
inline void expectAllFreed(World& world) {
  world.engine.close(world.server);
  world.run();
  EXPECT_EQ(world.engine.exchangesAlive(), 0u);
  EXPECT_EQ(world.engine.reactor().connectionCount(), 0u);
  EXPECT_EQ(world.openConnections(), 0u);
  EXPECT(world.serverClosed);
  EXPECT_EQ(world.counters().requestsReceived, world.calls.size());
  EXPECT_EQ(world.counters().requestsReceived, world.counters().requestsCompleted + world.counters().requestsAborted);
}

// Without the date, which changes.
inline std::string withoutDate(std::string text) {
  size_t at;
  while ((at = text.find("date: ")) != std::string::npos) text.erase(at, DateLine::kBytes);
  return text;
}

inline size_t countOf(const std::string& text, std::string_view part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) count++;
  return count;
}

inline std::string get(std::string_view target, std::string_view fields = "") {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}

inline std::string ok(std::string_view body, std::string_view fields = "") {
  return "HTTP/1.1 200 OK\r\n" + std::string(fields) + "content-length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

// Answers each request with its target and body, once that is complete.
inline void answerEcho(World& world) {
  const auto answer = [&world](Call& call) { world.respond(call, 200, call.target + call.body); };
  world.onRequest = [&world, answer](Call& call) {
    if (call.bodyEnded) return answer(call);
    if (call.has(records::kRequestExpectContinueFlag)) world.sendContinue(call);
  };
  world.onBody = [&world](Call& call, size_t size) { world.consume(call, static_cast<uint32_t>(size)); };
  world.onBodyEnd = answer;
}

// Bytes of which each place can be told from its neighbours.
inline std::string pattern(size_t size) {
  std::string text(size, ' ');
  for (size_t i = 0; i < size; i++) text[i] = static_cast<char>('a' + (i + i / 251) % 26);
  return text;
}

// The clients have gone; the server goes on.
inline void expectFreed(World& world) {
  world.run();
  EXPECT_EQ(world.engine.exchangesAlive(), 0u);
  EXPECT_EQ(world.openConnections(), 0u);
}

inline constexpr uint64_t kSlackMs = 40;  // the timer wheel is never early, and at most two ticks late

inline const std::string kClosing = "connection: close\r\ncontent-length: 0\r\n\r\n";

// Nothing happens until `ms` have passed, then something does.
inline void expectSilenceUntil(World& world, Client& client, uint64_t ms) {
  const std::string before = client.received;
  world.passTime(ms - 1);
  world.run({&client});
  EXPECT_EQ(client.received, before);
  EXPECT(!client.ended);
  world.passTime(1 + kSlackMs);
  world.run({&client});
}

}  // namespace gammaloop::test
