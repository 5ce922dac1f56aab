// ChunkedDecoder: strict chunk syntax, and the same result however the input is split.
#include "http/chunked_decoder.h"

#include "guard_page.h"
#include "http1_support.h"
#include "test.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

constexpr uint32_t kDefaultOverhead = 16 * 1024;

// Feeds pieces one after another, each against a guard page; keeps what came out as one comparable text.
class Feeder {
 public:
  Feeder(size_t capacity, uint32_t overheadBytes) : guarded_(capacity), decoder_(overheadBytes) {}

  void feed(std::string_view piece) {
    if (ended()) return;
    std::span<const uint8_t> rest = guarded_.place(piece);
    const uint8_t* const end = rest.data() + rest.size();
    while (true) {
      const ChunkedDecoder::Step step = decoder_.decode(rest);
      EXPECT(step.consumed <= rest.size());
      if (step.status == ChunkedDecoder::Status::Data) {
        EXPECT(!step.data.empty());
        EXPECT(step.data.data() >= rest.data() && step.data.data() + step.data.size() <= end);
        EXPECT(step.data.data() + step.data.size() == rest.data() + step.consumed);
        data_.append(reinterpret_cast<const char*>(step.data.data()), step.data.size());
      }
      consumed_ += step.consumed;
      rest = rest.subspan(step.consumed);
      if (step.status == ChunkedDecoder::Status::Data) continue;
      if (step.status == ChunkedDecoder::Status::NeedMore) EXPECT(rest.empty());
      if (step.status == ChunkedDecoder::Status::Done) end_ = "DONE trailers=" + decoder_.trailers();
      if (step.status == ChunkedDecoder::Status::Error) end_ = std::string(nameOf(step.error));
      return;
    }
  }

  bool ended() const { return !end_.empty(); }
  ChunkedDecoder& decoder() { return decoder_; }
  std::string result() const {
    return (ended() ? end_ : "NEED_MORE") + " data=" + data_ + " consumed=" + std::to_string(consumed_);
  }

 private:
  GuardedCopy guarded_;
  ChunkedDecoder decoder_;
  std::string data_;
  std::string end_;
  size_t consumed_ = 0;
};

std::string decodePieces(std::initializer_list<std::string_view> pieces, uint32_t overheadBytes = kDefaultOverhead) {
  size_t largest = 0;
  for (const std::string_view piece : pieces) largest = std::max(largest, piece.size());
  Feeder feeder(largest, overheadBytes);
  for (const std::string_view piece : pieces) feeder.feed(piece);
  return feeder.result();
}

// Whole, byte by byte, at every split point and, for small inputs, at every pair of split points.
void expectDecoded(std::string_view text, const std::string& expected, uint32_t overheadBytes = kDefaultOverhead) {
  const std::string whole = decodePieces({text}, overheadBytes);
  if (whole.substr(0, expected.size()) != expected) {
    fail(__FILE__, __LINE__, "got " + whole + ", expected " + expected + " for:\n" + std::string(text));
  }
  Feeder single(1, overheadBytes);
  for (size_t i = 0; i < text.size(); i++) single.feed(text.substr(i, 1));
  EXPECT_EQ(single.result(), whole);
  for (size_t i = 0; i <= text.size(); i++)
    EXPECT_EQ(decodePieces({text.substr(0, i), text.substr(i)}, overheadBytes), whole);
  if (text.size() > 60) return;
  for (size_t i = 0; i <= text.size(); i++) {
    for (size_t j = i; j <= text.size(); j++) {
      const std::string split = decodePieces({text.substr(0, i), text.substr(i, j - i), text.substr(j)}, overheadBytes);
      if (split != whole)
        fail(__FILE__, __LINE__,
             split + " at " + std::to_string(i) + "," + std::to_string(j) + " of:\n" + std::string(text));
    }
  }
}

std::string body(const std::string& sizeLine) { return sizeLine + "\r\nhello\r\n0\r\n\r\n"; }

}  // namespace

TEST("chunked: data, last chunk, what follows is not touched") {
  expectDecoded("5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\nGET /", "DONE trailers=\r\n data=helloabc consumed=23");
  expectDecoded("0\r\n\r\n", "DONE trailers=\r\n data= consumed=5");
  expectDecoded("000\r\n\r\n", "DONE trailers=\r\n data= ");
  expectDecoded("A\r\n0123456789\r\n0\r\n\r\n", "DONE trailers=\r\n data=0123456789 ");
  expectDecoded("a\r\n\r\n345678\r\n\r\n0\r\n\r\n", "DONE trailers=\r\n data=\r\n345678\r\n ");
  expectDecoded("5\r\nhel", "NEED_MORE data=hel consumed=6");
  expectDecoded("", "NEED_MORE data= consumed=0");
}

TEST("chunked: data is a span of the input") {
  ChunkedDecoder decoder;
  const std::string text = "5\r\nhello\r\n";
  const std::span<const uint8_t> input{reinterpret_cast<const uint8_t*>(text.data()), text.size()};
  const ChunkedDecoder::Step step = decoder.decode(input);
  EXPECT(step.status == ChunkedDecoder::Status::Data);
  EXPECT(step.data.data() == input.data() + 3);
  EXPECT_EQ(step.data.size(), 5u);
  EXPECT_EQ(step.consumed, 8u);
}

TEST("chunked: empty and non-hex sizes are refused") {
  for (const char* bad :
       {"", " 5", "5 ", "\t5", "5\t", "g", "5g", "0x5", "-5", "+5", "5,", "5.0", "5\x01", "\x80", "5 ;a", "\"5\""}) {
    expectDecoded(body(bad), "INVALID_CHUNK_SIZE");
  }
  expectDecoded(std::string("5") + '\0' + "\r\n", "INVALID_CHUNK_SIZE");
  expectDecoded("\r\n5\r\nhello", "INVALID_CHUNK_SIZE");
}

TEST("chunked: a size is at most 16 digits and 2^53-1") {
  expectDecoded("0000000000000005\r\nhello\r\n0\r\n\r\n", "DONE");
  expectDecoded("00000000000000005\r\nhello\r\n0\r\n\r\n", "INVALID_CHUNK_SIZE");
  expectDecoded("1fffffffffffff\r\nab", "NEED_MORE data=ab");
  expectDecoded("20000000000000\r\nab", "INVALID_CHUNK_SIZE");
  expectDecoded("001fffffffffffff\r\nab", "NEED_MORE data=ab");
  expectDecoded("ffffffffffffffff\r\nab", "INVALID_CHUNK_SIZE");
  expectDecoded("10000000000000005\r\nhello", "INVALID_CHUNK_SIZE");  // 5, if the top were cut off
}

TEST("chunked: size lines end with CRLF only") {
  expectDecoded("5\nhello\r\n", "INVALID_CHUNK_SIZE");
  expectDecoded("5\rhello\r\n", "INVALID_CHUNK_SIZE");
  expectDecoded("5\r\r\nhello\r\n", "INVALID_CHUNK_SIZE");
  expectDecoded("0\n\r\n", "INVALID_CHUNK_SIZE");
}

TEST("chunked: exactly CRLF after data") {
  for (const char* bad : {"\n", "\r5", "X\r\n", "\r\r\n", "0\r\n\r\n", " \r\n"}) {
    expectDecoded(std::string("5\r\nhello") + bad, "INVALID_CHUNK_TERMINATOR data=hello");
  }
}

TEST("chunked: extensions by their grammar") {
  for (const char* good : {"5;a", "5;a=b", "5;a;b;c=d", "5;a=\"\"", "5;a=\"x y\t;=,\"", "5;a=\"\\\"\\\\\";b",
                           "5;a=\"\xC3\xA4\"", "5;!#$%&'*+-.^_`|~=1"}) {
    expectDecoded(body(good), "DONE trailers=\r\n data=hello ");
  }
  for (const char* bad :
       {"5;",           "5;;a",           "5;=b",         "5;a=",       "5;a=b=c",    "5; a",       "5;a ",
        "5;a =b",       "5;a= b",         "5;a=\"b",      "5;a=\"b\"c", "5;a=b\"c\"", "5;a\x01",    "5;a\x80",
        "5;a=\"\x01\"", "5;a=\"\\\x01\"", "5;a=\"\x7F\"", "5;a,b",      "5;a\n",      "5;a=\"\n\"", "5;a=\"\r\n\""}) {
    expectDecoded(body(bad), "INVALID_CHUNK_EXTENSION");
  }
  expectDecoded("5;a\rhello", "INVALID_CHUNK_SIZE");
  expectDecoded("0;a=b\r\n\r\n", "DONE trailers=\r\n data= ");
}

TEST("chunked: trailers are kept raw, with the empty line") {
  expectDecoded("0\r\nA: b\r\nC:\r\n\r\nrest", "DONE trailers=A: b\r\nC:\r\n\r\n data= consumed=15");
  for (const char* bad : {"A: b\n\n", "\n", "A: b\r\r\n\r\n", "A\rB\r\n\r\n", "\rX", "A: b\r\n\n"}) {
    expectDecoded(std::string("0\r\n") + bad, "INVALID_LINE_ENDING");
  }
}

TEST("chunked: overhead at, below and above the limit") {
  // ";ab" is three bytes; the trailer section "A: b\r\n\r\n" eight; two needless zeros two.
  const std::string extensions = "1;ab\r\nx\r\n0\r\n\r\n";  // and two for the empty trailer section
  expectDecoded(extensions, "DONE", 6);
  expectDecoded(extensions, "DONE", 5);
  expectDecoded(extensions, "CHUNK_OVERHEAD_EXCEEDED", 4);
  expectDecoded(extensions, "CHUNK_OVERHEAD_EXCEEDED data= ", 2);
  expectDecoded("0\r\nA: b\r\n\r\n", "DONE", 8);
  expectDecoded("0\r\nA: b\r\n\r\n", "CHUNK_OVERHEAD_EXCEEDED", 7);
  expectDecoded("0\r\nA: b\r\n\r\n", "CHUNK_OVERHEAD_EXCEEDED", 0);
  expectDecoded("001\r\nx\r\n0\r\n\r\n", "DONE", 4);
  expectDecoded("001\r\nx\r\n0\r\n\r\n", "CHUNK_OVERHEAD_EXCEEDED", 3);
  expectDecoded("001\r\nx\r\n0\r\n\r\n", "CHUNK_OVERHEAD_EXCEEDED data= ", 1);
}

TEST("chunked: overhead adds up over the chunks of a body") {
  std::string text;
  for (int i = 0; i < 10; i++) text += "1;ab\r\nx\r\n";
  text += "0\r\n\r\n";
  expectDecoded(text, "DONE", 32);
  expectDecoded(text, "CHUNK_OVERHEAD_EXCEEDED", 31);
}

TEST("chunked: overhead of one chunk has a limit of its own") {
  const auto outcome = [](const std::string& text, uint32_t overheadBytes, uint32_t chunkBytes) {
    ChunkedDecoder decoder(overheadBytes, chunkBytes);
    std::span<const uint8_t> rest = bytesOf(text);
    while (true) {
      const ChunkedDecoder::Step step = decoder.decode(rest);
      rest = rest.subspan(step.consumed);
      if (step.status == ChunkedDecoder::Status::Done) return std::string("DONE");
      if (step.status == ChunkedDecoder::Status::Error) return std::string(nameOf(step.error));
      if (step.status == ChunkedDecoder::Status::NeedMore) return std::string("NEED_MORE");
    }
  };
  const std::string chunk = "1;" + std::string(9, 'e') + "\r\nx\r\n";  // 10 bytes
  // The trailers count with the last chunk: again 10.
  for (const std::string& text : {chunk + chunk + chunk + "0\r\n\r\n", chunk + "1;e\r\nx\r\n0;e\r\nA: b\r\n\r\n"}) {
    EXPECT_EQ(outcome(text, 1000, 10), "DONE");
    EXPECT_EQ(outcome(text, 1000, 9), "CHUNK_OVERHEAD_EXCEEDED");
    EXPECT_EQ(outcome(text, 15, 10), "CHUNK_OVERHEAD_EXCEEDED");
  }
}

TEST("chunked: a long body in small chunks needs no overhead") {
  std::string text;
  for (int i = 0; i < 20000; i++) text += "3\r\nabc\r\n";
  text += "0\r\n\r\n";
  const std::string result = decodePieces({text}, 16);
  EXPECT_EQ(result.substr(0, 4), "DONE");
}

TEST("chunked: done and failed stay so until reset") {
  Feeder feeder(64, kDefaultOverhead);
  feeder.feed("0\r\nA: b\r\n\r\n");
  const uint8_t more[] = {'5'};
  EXPECT(feeder.decoder().decode(more).status == ChunkedDecoder::Status::Done);
  EXPECT_EQ(feeder.decoder().decode(more).consumed, 0u);
  feeder.decoder().reset();
  EXPECT_EQ(feeder.decoder().trailers(), "");
  const std::string bad = "zz";
  const std::span<const uint8_t> input{reinterpret_cast<const uint8_t*>(bad.data()), bad.size()};
  EXPECT(feeder.decoder().decode(input).error == HttpError::InvalidChunkSize);
  EXPECT(feeder.decoder().decode(more).error == HttpError::InvalidChunkSize);
  feeder.decoder().reset();
  EXPECT(feeder.decoder().decode(more).status == ChunkedDecoder::Status::NeedMore);
}
