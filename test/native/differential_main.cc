// Our side of the differential test: reads cases from standard input, writes what our parser and decoder make of each
// to standard output. A case is its length (4 bytes, little-endian) and its bytes: a connection's input. An outcome is
// written the same way; its text is a row of netstrings ("3:abc"): per message method, target, version minor,
// keep-alive, upgrade, field count, names and values, then body, trailer count, names and values, complete or not; last
// "end", the state, the error's name, and bytes consumed.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "http/chunked_decoder.h"
#include "http/http1_parser.h"

using namespace gammaloop;

namespace {

constexpr ParserLimits kLimits{.headerBytes = 64 * 1024, .headerCount = 2000};

class Outcome {
 public:
  void add(std::string_view text) {
    out_ += std::to_string(text.size());
    out_ += ':';
    out_ += text;
  }
  void add(uint64_t number) { add(std::to_string(number)); }
  void addFields(std::string_view bytes, std::span<const HeaderField> fields) {
    add(fields.size());
    for (const HeaderField& field : fields) {
      add(bytes.substr(field.nameOffset, field.nameLength));
      add(bytes.substr(field.valueOffset, field.valueLength));
    }
  }
  void end(std::string_view state, HttpError error, size_t consumed) {
    add("end");
    add(state);
    add(error == HttpError::None ? "" : nameOf(error));
    add(consumed);
  }
  const std::string& text() const { return out_; }

 private:
  std::string out_;
};

std::span<const uint8_t> bytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Body {
  std::string data;
  std::string trailers;
  size_t consumed = 0;
  bool complete = false;
  HttpError error = HttpError::None;
};

// In pieces whose sizes depend on the case, so that splits are compared along the way.
Body readChunked(std::string_view input) {
  Body body;
  ChunkedDecoder decoder;
  size_t piece = input.size() % 7 + 1;
  while (body.consumed < input.size()) {
    const std::string_view part = input.substr(body.consumed, piece);
    const ChunkedDecoder::Step step = decoder.decode(bytesOf(part));
    body.data.append(reinterpret_cast<const char*>(step.data.data()), step.data.size());
    body.consumed += step.consumed;
    body.complete = step.status == ChunkedDecoder::Status::Done;
    body.error = step.error;
    if (body.complete || step.status == ChunkedDecoder::Status::Error) break;
    piece = piece * 3 % 11 + 1;
  }
  body.trailers = decoder.trailers();
  return body;
}

Body readCounted(std::string_view input, uint64_t length) {
  Body body;
  body.data = input.substr(0, static_cast<size_t>(std::min<uint64_t>(length, input.size())));
  body.consumed = body.data.size();
  body.complete = body.consumed == length;
  return body;
}

std::string runCase(std::string_view input) {
  Outcome outcome;
  std::vector<HeaderField> fields(kLimits.headerCount);
  size_t at = 0;
  while (true) {
    const std::string_view rest = input.substr(at);
    RequestHead head;
    const ParseOutcome parsed = parseRequestHead(bytesOf(rest), kLimits, head, fields);
    if (parsed.status != ParseStatus::Done) {
      const bool clean = rest.find_first_not_of("\r\n") == std::string_view::npos;
      const bool error = parsed.status == ParseStatus::Error;
      outcome.end(error ? "head-error" : clean ? "idle" : "head-incomplete", parsed.error, at);
      return outcome.text();
    }
    outcome.add("message");
    outcome.add(methodName(head.method));
    outcome.add(rest.substr(head.targetOffset, head.targetLength));
    outcome.add(head.versionMinor);
    outcome.add(head.keepAlive);
    outcome.add(head.upgrade);
    outcome.addFields(rest, std::span(fields).first(head.fieldCount));
    at += head.headLength;
    Body body;
    body.complete = true;
    if (head.method != Method::CONNECT) {
      if (head.chunked) body = readChunked(input.substr(at));
      if (head.hasContentLength) body = readCounted(input.substr(at), head.contentLength);
    }
    at += body.consumed;
    outcome.add(body.data);
    uint32_t trailerCount = 0;
    if (head.chunked && body.error == HttpError::None && head.method != Method::CONNECT) {
      // An unfinished section is read too: what is wrong in it already counts.
      uint32_t consumed = 0;
      const ParseOutcome trailers = parseTrailers(bytesOf(body.trailers), kLimits, fields, trailerCount, consumed);
      body.error = trailers.error;
      if (trailers.status != ParseStatus::Done) {
        body.complete = false;
        trailerCount = 0;
      }
    }
    outcome.addFields(body.trailers, std::span(fields).first(trailerCount));
    outcome.add(body.complete);
    if (body.error != HttpError::None || !body.complete) {
      outcome.end(body.error != HttpError::None ? "body-error" : "body-incomplete", body.error, at);
      return outcome.text();
    }
    if (head.upgrade || !head.keepAlive) {
      outcome.end(head.upgrade ? "upgraded" : "closed", HttpError::None, at);
      return outcome.text();
    }
  }
}

bool readExactly(void* out, size_t size) { return std::fread(out, 1, size, stdin) == size; }

uint32_t readLength(const uint8_t (&bytes)[4]) {
  return bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

}  // namespace

int main() {
  uint8_t prefix[4];
  std::string input;
  while (readExactly(prefix, sizeof prefix)) {
    input.resize(readLength(prefix));
    if (!readExactly(input.data(), input.size())) return 1;
    const std::string text = runCase(input);
    for (int shift = 0; shift < 32; shift += 8) std::putchar(static_cast<int>(text.size() >> shift & 0xFF));
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
