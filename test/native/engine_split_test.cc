// Whatever the pieces in which bytes arrive, the answers and what the application sees are the same.
#include "engine_checks.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

struct Outcome {
  std::string output;
  std::string log;
  bool ended = false;

  bool operator==(const Outcome&) const = default;
};

Outcome converse(const Options& options, const std::vector<std::string_view>& pieces) {
  World world(options);
  answerEcho(world);
  Client client = world.connect();
  for (const std::string_view piece : pieces) {
    client.send(piece);
    world.turn();
    world.turn();
  }
  world.run({&client});
  Outcome outcome{withoutDate(client.received), world.log, client.ended};
  client.close();
  expectAllFreed(world);
  return outcome;
}

// At every point, and byte by byte.
void expectSameAtEverySplit(const std::string& name, const std::string& bytes, const std::string& expected,
                            Options options = {}) {
  const DescriptorCheck descriptors;
  const Outcome whole = converse(options, {bytes});
  EXPECT_EQ(whole.output, expected);
  std::vector<std::string_view> single;
  for (size_t at = 0; at <= bytes.size(); at++) {
    const std::string_view view = bytes;
    const Outcome split = converse(options, {view.substr(0, at), view.substr(at)});
    if (!(split == whole)) {
      fail(__FILE__, __LINE__,
           name + " split at " + std::to_string(at) + ": " + split.output + "\n--\n" + split.log + "\n-- whole:\n" +
               whole.log);
      return;
    }
    if (at < bytes.size()) single.push_back(view.substr(at, 1));
  }
  const Outcome bytewise = converse(options, single);
  EXPECT_EQ(bytewise.output, whole.output);
  EXPECT_EQ(bytewise.log, whole.log);
}

const std::string kChunkedPost =
    "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5;x=\"y\"\r\npedia\r\n0\r\nx-a: "
    "1\r\nx-b: 2\r\n\r\n";

}  // namespace

TEST("split: pipelined GETs") {
  expectSameAtEverySplit("gets", get("/1") + get("/2") + get("/3"), ok("/1") + ok("/2") + ok("/3"));
}

TEST("split: pipelined GETs, on poll") {
  Options options;
  options.poll = true;
  expectSameAtEverySplit("gets on poll", get("/1") + get("/2"), ok("/1") + ok("/2"), options);
}

TEST("split: empty lines before, between and after requests") {
  expectSameAtEverySplit("empty lines", "\r\n\r\n" + get("/1") + "\r\n" + get("/2") + "\r\n", ok("/1") + ok("/2"));
}

TEST("split: POST with a length between GETs") {
  expectSameAtEverySplit("post",
                         get("/1") + "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world" + get("/3"),
                         ok("/1") + ok("/2hello world") + ok("/3"));
}

TEST("split: chunked with an extension and trailers, then a GET") {
  expectSameAtEverySplit("chunked", kChunkedPost + get("/2"), ok("/cwikipedia") + ok("/2"));
}

TEST("split: HEAD, HTTP/1.0 with keep-alive, close") {
  expectSameAtEverySplit("head",
                         "HEAD /h HTTP/1.1\r\nHost: a\r\n\r\nGET /k HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" +
                             get("/3", "Connection: close\r\n"),
                         "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" + ok("/k", "connection: keep-alive\r\n") +
                             ok("/3", "connection: close\r\n"));
}

TEST("split: errors get their answer behind earlier ones") {
  const std::string closing = "connection: close\r\ncontent-length: 0\r\n\r\n";
  expectSameAtEverySplit("bad header", get("/1") + "GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n" + get("/lost"),
                         ok("/1") + "HTTP/1.1 400 Bad Request\r\n" + closing);
  expectSameAtEverySplit("two lengths",
                         "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                         "HTTP/1.1 400 Bad Request\r\n" + closing);
  expectSameAtEverySplit("no host", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n" + closing);
  expectSameAtEverySplit("chunk size",
                         "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\nx\r\n",
                         "HTTP/1.1 400 Bad Request\r\n" + closing);
  Options options;
  options.limits.bodyBytes = 4;
  expectSameAtEverySplit("too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
                         "HTTP/1.1 413 Payload Too Large\r\n" + closing, options);
  options.limits.head.headerCount = 2;
  expectSameAtEverySplit("too many fields", "GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n",
                         "HTTP/1.1 431 Request Header Fields Too Large\r\n" + closing, options);
}

// Whether the body came with the head decides whether a 100 Continue goes out, so only the part after the head is
// split.
TEST("split: 100 Continue") {
  const std::string head = "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
  const std::string body = "hello" + get("/2");
  const std::string expected = std::string(kContinue) + ok("/ehello") + ok("/2");
  for (size_t at = 1; at < head.size(); at++) {
    for (size_t bodyAt = 0; bodyAt <= body.size(); bodyAt += at % 7 == 0 ? 1 : body.size()) {
      const std::string_view h = head, b = body;
      EXPECT_EQ(converse({}, {h.substr(0, at), h.substr(at), b.substr(0, bodyAt), b.substr(bodyAt)}).output, expected);
    }
  }
  const Outcome together = converse({}, {head + body});
  EXPECT_EQ(together.output, ok("/ehello") + ok("/2"));
}
