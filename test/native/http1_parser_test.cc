// The strictness section of the conformance rules, one named test for each form, and what accepted heads mean.
#include "http/http1_parser.h"

#include "http1_support.h"
#include "test.h"

using namespace gammaloop;
using namespace gammaloop::test;

namespace {

// A 1.1 request with these lines (each with its CRLF) after a good request line and Host.
std::string withLines(const std::string& lines) { return "POST /x HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n"; }

std::string withTarget(const std::string& method, const std::string& target) {
  return method + " " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
}

std::string withHost(const std::string& host) { return "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"; }

std::string nul() { return std::string(1, '\0'); }

// The whole text and, by the prefix rule, every beginning of it.
void expectVerdict(const std::string& text, const std::string& expected, const ParserLimits& limits = {}) {
  const std::string got = verdict(text, limits);
  if (got != expected) fail(__FILE__, __LINE__, "got " + got + ", expected " + expected + " for:\n" + text);
  EXPECT_EQ(prefixViolation(text, limits), "");
}

RequestHead headOf(const std::string& text) {
  const Parsed parsed = parse(bytesOf(text));
  if (parsed.outcome.status != ParseStatus::Done) fail(__FILE__, __LINE__, show(parsed.outcome) + " for:\n" + text);
  return parsed.head;
}

}  // namespace

TEST("http1: a plain GET") {
  const std::string text = "GET /a?b#c HTTP/1.1\r\nHost: x.org:80\r\nX-Own:\t one two \t\r\nEmpty:\r\n\r\nrest";
  const Parsed parsed = parse(bytesOf(text));
  EXPECT_EQ(show(parsed.outcome), "DONE");
  EXPECT(parsed.head.method == Method::GET);
  EXPECT_EQ(parsed.head.versionMinor, 1);
  EXPECT_EQ(slice(text, parsed.head.targetOffset, parsed.head.targetLength), "/a?b#c");
  EXPECT_EQ(text.substr(parsed.head.headLength), "rest");
  EXPECT_EQ(parsed.head.fieldCount, 3u);
  EXPECT(parsed.fields[0].id == HeaderId::Host);
  EXPECT(parsed.fields[1].id == HeaderId::Unknown);
  EXPECT_EQ(slice(text, parsed.fields[1].nameOffset, parsed.fields[1].nameLength), "X-Own");
  EXPECT_EQ(slice(text, parsed.fields[1].valueOffset, parsed.fields[1].valueLength), "one two");
  EXPECT_EQ(parsed.fields[2].valueLength, 0u);
  EXPECT(parsed.head.keepAlive && !parsed.head.chunked && !parsed.head.hasContentLength && !parsed.head.upgrade);
  EXPECT_EQ(prefixViolation(text), "");
}

TEST("http1: every method of node's parser, and no other") {
  for (int i = 0; i < kMethodCount; i++) {
    const std::string name(methodName(static_cast<Method>(i)));
    const std::string text = withTarget(name, name == "CONNECT" ? "a:1" : "/");
    expectVerdict(text, "DONE");
    EXPECT_EQ(static_cast<int>(headOf(text).method), i);
    expectVerdict(withTarget(name + "X", "/"), "INVALID_METHOD");
  }
  for (const char* bad :
       {"FOO", "get", "Get", "G", "PRI", "DESCRIBE", "MSEARCH", "\xC3\x84", "GET\t", "(", "HTTP/1.1"}) {
    expectVerdict(withTarget(bad, "/"), "INVALID_METHOD");
  }
  expectVerdict(" GET / HTTP/1.1\r\n", "INVALID_METHOD");
  expectVerdict(nul(), "INVALID_METHOD");
  expectVerdict("GET\r\n", "INVALID_METHOD");
}

TEST("http1: every known header name by its id, in any letter case") {
  for (int i = 1; i < static_cast<int>(HeaderId::Count); i++) {
    const auto id = static_cast<HeaderId>(i);
    std::string name(headerName(id));
    EXPECT(!name.empty());
    const auto idOf = [](const std::string& field) {
      const Parsed parsed = parse(bytesOf("GET / HTTP/1.0\r\n" + field + ": 100-continue\r\n\r\n"));
      return parsed.outcome.status == ParseStatus::Done ? parsed.fields[0].id : HeaderId::Unknown;
    };
    const bool wantsOtherValue = id == HeaderId::ContentLength || id == HeaderId::Transfer_Encoding;
    if (wantsOtherValue) continue;
    EXPECT(idOf(name) == id);
    std::string upper = name;
    for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    EXPECT(idOf(upper) == id);
    for (size_t at = 0; at < name.size(); at++) {
      std::string other = name;
      other[at] = other[at] == '!' ? '#' : '!';
      EXPECT(idOf(other) == HeaderId::Unknown);
    }
    EXPECT(idOf(name + "x") == HeaderId::Unknown);
  }
}

TEST("http1: leading empty lines are skipped and counted") {
  const std::string text = "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
  expectVerdict(text, "DONE");
  EXPECT_EQ(headOf(text).headLength, text.size());
  expectVerdict("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "INVALID_LINE_ENDING");
  expectVerdict("\r\rGET / HTTP/1.1\r\n", "INVALID_LINE_ENDING");
}

TEST("http1: target forms") {
  for (const char* good : {"/", "//", "/a%zz\"<>{}|\\^`[]", "/?q", "/#f?g", "http://a", "HTTP://a:80/b?c#d",
                           "https://[::1]:3?x", "http://a/b@c", "ws://1.2.3.4/"}) {
    expectVerdict(withTarget("GET", good), "DONE");
  }
  for (const char* bad :
       {"a",          "?a",          "#a",      "*",           "*x",          "http:/a", "http://",     "http:///a",
        "http://a#b", "http://u@a/", "h2://a/", "http://a:b/", "http://:80/", "://a",    "http://a%2/", "http://[::1",
        "http://[]/", "/\x7F",       "/\x80",   "/a\tb",       "/\x01",       ""}) {
    expectVerdict(withTarget("GET", bad), "INVALID_TARGET");
  }
  expectVerdict(withTarget("GET", "/" + nul()), "INVALID_TARGET");
  expectVerdict(withTarget("OPTIONS", "*"), "DONE");
  expectVerdict(withTarget("OPTIONS", "**"), "INVALID_TARGET");
}

TEST("http1: authority-form for CONNECT only, with a port") {
  for (const char* good : {"a:1", "a.b-c_d:65535", "[::1]:443", "[v1.a:b]:1", "%41:1"}) {
    expectVerdict(withTarget("CONNECT", good), "DONE");
    expectVerdict(withTarget("GET", good), "INVALID_TARGET");
  }
  for (const char* bad : {"a", "a:", ":1", "a:0", "a:65536", "a:1/", "/", "*", "http://a/", "a:b", "u@a:1", "[::1]",
                          "[::1]1", "[v.a]:1", "[v1]:1", "[v1.]:1", "[g]:1", "[]:1"}) {
    expectVerdict(withTarget("CONNECT", bad), "INVALID_TARGET");
  }
  EXPECT(headOf(withTarget("CONNECT", "a:1")).upgrade);
}

TEST("http1: exactly one space on both sides of the target") {
  expectVerdict("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "INVALID_TARGET");
  expectVerdict("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "INVALID_METHOD");
  expectVerdict("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "INVALID_VERSION");
  expectVerdict("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "INVALID_TARGET");
  expectVerdict("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "INVALID_VERSION");
  expectVerdict("GET / a HTTP/1.1\r\nHost: a\r\n\r\n", "INVALID_VERSION");
}

TEST("http1: versions") {
  expectVerdict("GET / HTTP/1.0\r\n\r\n", "DONE");
  for (const char* other : {"HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9"}) {
    expectVerdict(std::string("GET / ") + other + "\r\nHost: a\r\n\r\n", "UNSUPPORTED_VERSION");
  }
  for (const char* bad : {"HTTP/1.2", "HTTP/1.9", "http/1.1", "HTTP/11", "HTTP/1,1", "HTTP/1.", "HTTP/.1", "HTTP/1.10",
                          "HTTP/01.1", "HTTP", "ICE/1.0", "HTTP/1.1x", "HTTP/a.1", ""}) {
    expectVerdict(std::string("GET / ") + bad + "\r\nHost: a\r\n\r\n", "INVALID_VERSION");
  }
  expectVerdict("GET /\r\n\r\n", "INVALID_VERSION");  // HTTP/0.9
}

TEST("http1: bare LF is refused on every line") {
  expectVerdict("GET /\nHost: a\n\n", "INVALID_LINE_ENDING");
  expectVerdict("GET / HTTP/1.1\nHost: a\n\n", "INVALID_LINE_ENDING");
  expectVerdict("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "INVALID_LINE_ENDING");
  expectVerdict("GET / HTTP/1.1\r\nHost\n: a\r\n\r\n", "INVALID_LINE_ENDING");
  expectVerdict("GET / HTTP/1.1\r\nHost: a\r\n\n", "INVALID_LINE_ENDING");
  expectVerdict("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", "INVALID_LINE_ENDING");
}

TEST("http1: bare CR is refused on every line") {
  expectVerdict("GET / HTTP/1.1\rHost: a\r\n\r\n", "INVALID_LINE_ENDING");
  expectVerdict(withLines("X: a\rb\r\n"), "INVALID_LINE_ENDING");
  expectVerdict(withLines("X: a\r\r\n"), "INVALID_LINE_ENDING");
  expectVerdict(withLines("\rX: a\r\n"), "INVALID_LINE_ENDING");
  expectVerdict(withLines("X\r: a\r\n"), "INVALID_HEADER_NAME");
  expectVerdict("GET / HTTP/1.1\r\nHost: a\r\n\rX", "INVALID_LINE_ENDING");
}

TEST("http1: NUL and other control bytes are refused everywhere") {
  expectVerdict(withLines("X" + nul() + ": a\r\n"), "INVALID_HEADER_NAME");
  for (int c = 0; c < 256; c++) {
    const std::string byte(1, static_cast<char>(c));
    const bool allowed = c == '\t' || (c >= 0x20 && c != 0x7F);
    const std::string expected = allowed                  ? "DONE"
                                 : c == '\n' || c == '\r' ? "INVALID_LINE_ENDING"
                                                          : "INVALID_HEADER_VALUE";
    expectVerdict(withLines("X: 0123456" + byte + "89abcdef\r\n"), expected);
    expectVerdict(withLines("X: " + byte + "b\r\n"), expected);
  }
}

TEST("http1: header names are tokens") {
  for (int c = 0; c < 256; c++) {
    const bool token =
        c != 0 && (std::isalnum(c) != 0 ||
                   std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos);
    const std::string byte(1, static_cast<char>(c));
    const std::string expected = token || c == ':' ? "DONE" : c == '\n' ? "INVALID_LINE_ENDING" : "INVALID_HEADER_NAME";
    expectVerdict(withLines("X" + byte + "y: a\r\n"), expected);
  }
  expectVerdict(withLines(": a\r\n"), "INVALID_HEADER_NAME");
  expectVerdict(withLines("X\r\n"), "INVALID_HEADER_NAME");
  // CR | 0x20 is "-": a name must not be known by mistake.
  expectVerdict(withLines("Content\rLength: 3\r\n"), "INVALID_HEADER_NAME");
}

TEST("http1: space before the colon is refused") {
  for (const char* line : {"X : a\r\n", "X\t: a\r\n", "Content-Length : 3\r\n", "Transfer-Encoding : chunked\r\n"}) {
    expectVerdict(withLines(line), "INVALID_HEADER_NAME");
  }
}

TEST("http1: obs-fold is refused") {
  expectVerdict(withLines("X: a\r\n b\r\n"), "OBSOLETE_FOLDING");
  expectVerdict(withLines("X: a\r\n\tb\r\n"), "OBSOLETE_FOLDING");
  expectVerdict(withLines("X: a\r\n \r\n"), "OBSOLETE_FOLDING");
  expectVerdict("GET / HTTP/1.1\r\n Host: a\r\n\r\n",
                "INVALID_HEADER_NAME");  // before the first field there is nothing to fold
}

TEST("http1: Host is required and single on 1.1, optional on 1.0, never twice") {
  expectVerdict("GET / HTTP/1.1\r\n\r\n", "MISSING_HOST");
  expectVerdict("GET / HTTP/1.1\r\nX: a\r\n\r\n", "MISSING_HOST");
  expectVerdict("GET http://a/ HTTP/1.1\r\n\r\n", "MISSING_HOST");
  expectVerdict(withHost(""), "DONE");
  expectVerdict(withHost("a\r\nHost: a"), "DUPLICATE_HOST");
  expectVerdict(withHost("a\r\nhOST: b"), "DUPLICATE_HOST");
  expectVerdict("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "DUPLICATE_HOST");
}

TEST("http1: a Host that cannot be uri-host and port is refused") {
  for (const char* good : {"a", "a:", "a:80", "A-b_c.d~e!$&'()*+,;=", "%41b", "127.0.0.1:3000", "[::1]",
                           "[::ffff:1.2.3.4]:1", "[v7.x]", " a \t"}) {
    expectVerdict(withHost(good), "DONE");
  }
  for (const char* bad : {"a b",    "a/b",      "u@a",      "a:b",  "a:80:80", ":80", "[",   "[]",  "[::1",
                          "[::1]x", "[::g]",    "[vg.x]",   "[v1]", "a\"",     "a<",  "a%",  "a%4", "a%4g",
                          "a%%",    "\xC3\xA4", "http://a", "a, b", "a\tb",    "a#b", "a?b", "a\\b"}) {
    expectVerdict(withHost(bad), "INVALID_HOST");
  }
}

TEST("http1: Content-Length is digits up to 2^53-1") {
  EXPECT_EQ(headOf(withLines("Content-Length: 0\r\n")).contentLength, 0u);
  EXPECT(headOf(withLines("Content-Length: 0\r\n")).hasContentLength);
  EXPECT_EQ(headOf(withLines("content-length: \t12 \r\n")).contentLength, 12u);
  EXPECT_EQ(headOf(withLines("Content-Length: 00012\r\n")).contentLength, 12u);
  EXPECT_EQ(headOf(withLines("Content-Length: 9007199254740991\r\n")).contentLength, 9007199254740991u);
  for (const char* bad :
       {"9007199254740992", "18446744073709551616", "99999999999999999999999999", "+1", "-1", "1 2", "1,1", "1, 1",
        "0x1", "1a", "1.0", "", "\"1\"", "1e3", ";1", "1\t1", "\xB2", "1\t", "1 \t "}) {
    expectVerdict(withLines(std::string("Content-Length: ") + bad + "\r\n"), "INVALID_CONTENT_LENGTH");
  }
}

TEST("http1: duplicate Content-Length is refused, even an equal one") {
  expectVerdict(withLines("Content-Length: 1\r\nContent-Length: 1\r\n"), "DUPLICATE_CONTENT_LENGTH");
  expectVerdict(withLines("Content-Length: 1\r\nX: y\r\ncontent-length: 2\r\n"), "DUPLICATE_CONTENT_LENGTH");
}

TEST("http1: Content-Length with Transfer-Encoding is refused in both orders") {
  expectVerdict(withLines("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
                "CONTENT_LENGTH_WITH_TRANSFER_ENCODING");
  expectVerdict(withLines("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"),
                "CONTENT_LENGTH_WITH_TRANSFER_ENCODING");
}

TEST("http1: Transfer-Encoding is exactly chunked, once") {
  EXPECT(headOf(withLines("Transfer-Encoding: chunked\r\n")).chunked);
  EXPECT(headOf(withLines("TRANSFER-ENCODING:\tCHUNKed \r\n")).chunked);
  for (const char* bad : {"", "gzip", "identity", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked,",
                          ",chunked", "xchunked", "chunkedx", "chunked;q=1", "\"chunked\"", "chun ked", "chunked\t",
                          "chunked \t ", "\x0Bchunked", "chunked\x80"}) {
    const std::string expected = bad[0] == '\x0B' ? "INVALID_HEADER_VALUE" : "INVALID_TRANSFER_ENCODING";
    expectVerdict(withLines(std::string("Transfer-Encoding: ") + bad + "\r\n"), expected);
  }
  expectVerdict(withLines("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), "INVALID_TRANSFER_ENCODING");
  expectVerdict(withLines("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), "INVALID_TRANSFER_ENCODING");
}

TEST("http1: Transfer-Encoding on 1.0 is refused") {
  expectVerdict("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "TRANSFER_ENCODING_IN_HTTP10");
  expectVerdict("POST / HTTP/1.0\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "TRANSFER_ENCODING_IN_HTTP10");
}

TEST("http1: bytes after the head that are not a request are refused") {
  const std::string first = withHost("a");
  const std::string text = first + "garbage";
  const uint32_t length = headOf(text).headLength;
  EXPECT_EQ(length, first.size());
  EXPECT_EQ(verdict(text.substr(length)), "INVALID_METHOD");
}

TEST("http1: keep-alive as version and Connection ask") {
  const auto keepAlive = [](const std::string& minor, const std::string& lines) {
    return headOf("GET / HTTP/1." + minor + "\r\nHost: a\r\n" + lines + "\r\n").keepAlive;
  };
  EXPECT(keepAlive("1", ""));
  EXPECT(!keepAlive("1", "Connection: close\r\n"));
  EXPECT(!keepAlive("1", "Connection: foo,\tCLOSE \r\n"));
  EXPECT(!keepAlive("1", "Connection: keep-alive\r\nConnection: close\r\n"));
  EXPECT(!keepAlive("1", "Connection: close\r\nConnection: keep-alive\r\n"));
  EXPECT(keepAlive("1", "Connection: closed, xclose, clo se\r\n"));
  EXPECT(keepAlive("1", "Connection:\r\nConnection: ,,\r\n"));
  EXPECT(!keepAlive("0", ""));
  EXPECT(keepAlive("0", "Connection: Keep-Alive\r\n"));
  EXPECT(keepAlive("0", "Connection: a,keep-alive,b\r\n"));
  EXPECT(!keepAlive("0", "Connection: keep-alive, close\r\n"));
}

TEST("http1: upgrade needs Upgrade and its name in Connection, on 1.1") {
  EXPECT(headOf(withLines("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n")).upgrade);
  EXPECT(headOf(withLines("Connection: upgrade\r\nUpgrade: websocket\r\n")).upgrade);
  EXPECT(!headOf(withLines("Upgrade: websocket\r\n")).upgrade);
  EXPECT(!headOf(withLines("Connection: upgrade\r\n")).upgrade);
  EXPECT(!headOf("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").upgrade);
}

TEST("http1: Expect is 100-continue or refused with 417") {
  EXPECT(headOf(withLines("Expect: 100-Continue\r\n")).expectContinue);
  EXPECT(!headOf(withLines("")).expectContinue);
  EXPECT(!headOf("POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expectContinue);
  for (const char* bad : {"", "200-ok", "100-continue, x", "100-continu", "100-continuee"}) {
    expectVerdict(withLines(std::string("Expect: ") + bad + "\r\n"), "INVALID_EXPECTATION");
  }
  EXPECT_EQ(statusOf(HttpError::InvalidExpectation), 417);
}

TEST("http1: header bytes at, below and above the limit") {
  const std::string text = withLines("X: abc\r\n");
  const auto size = static_cast<uint32_t>(text.size());
  const auto limited = [](uint32_t bytes) { return ParserLimits{.headerBytes = bytes, .headerCount = 100}; };
  expectVerdict(text, "DONE", limited(size + 1));
  expectVerdict(text, "DONE", limited(size));
  for (uint32_t bytes = 0; bytes < size; bytes++) expectVerdict(text, "HEADER_BYTES_EXCEEDED", limited(bytes));
  EXPECT_EQ(verdict(text.substr(0, size - 2), limited(size - 2)), "NEED_MORE");
  EXPECT_EQ(verdict(text.substr(0, size - 1), limited(size - 2)), "HEADER_BYTES_EXCEEDED");
  EXPECT_EQ(verdict(text + std::string(100000, 'x'), limited(size)), "DONE");  // what follows the head does not count
  expectVerdict(std::string(40, '\r').replace(0, 40, "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n"),
                "HEADER_BYTES_EXCEEDED", limited(10));
  EXPECT_EQ(statusOf(HttpError::HeaderBytesExceeded), 431);
}

TEST("http1: node's rules: any value of Host, the target * with M-SEARCH, any expectation") {
  const ParserLimits rules{.nodeRules = true};
  const std::string taken[] = {"Host: http://a.b/", "Host: a\tb", "Host: - - -", "Host:", "Host: a\r\nExpect: what"};
  for (const std::string& fields : taken) {
    const std::string text = "GET / HTTP/1.1\r\n" + fields + "\r\n\r\n";
    EXPECT_EQ(verdict(text, rules), "DONE");
    EXPECT_EQ(prefixViolation(text, rules), "");
  }
  EXPECT_EQ(verdict("M-SEARCH * HTTP/1.1\r\nHost: a\r\n\r\n", rules), "DONE");
  EXPECT_EQ(verdict("M-SEARCH * HTTP/1.1\r\nHost: a\r\n\r\n"), "INVALID_TARGET");
  EXPECT_EQ(verdict("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", rules), "DONE");
  EXPECT_EQ(verdict("CONNECT * HTTP/1.1\r\nHost: a\r\n\r\n", rules), "INVALID_TARGET");
  EXPECT_EQ(verdict("M-SEARCH *a HTTP/1.1\r\nHost: a\r\n\r\n", rules), "INVALID_TARGET");
  EXPECT_EQ(verdict("GET * HTTP/1.1\r\nHost: a\r\n\r\n", rules), "INVALID_TARGET");
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", rules), "DUPLICATE_HOST");
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nA: b\r\n\r\n", rules), "MISSING_HOST");
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n", rules), "INVALID_HEADER_VALUE");
}

TEST("http1: node's rules: header bytes are those of target, names and values") {
  // Target 2, "Host" and "ab" 6, "X" and its value 1 + n.
  const auto head = [](size_t n, std::string_view blanks = " ") {
    return "GET /a HTTP/1.1\r\nHost: ab\r\nX:" + std::string(blanks) + std::string(n, 'v') + "\r\n\r\n";
  };
  const ParserLimits rules{.headerBytes = 100, .nodeRules = true};
  EXPECT_EQ(verdict(head(90), rules), "DONE");
  EXPECT_EQ(verdict(head(91), rules), "HEADER_BYTES_EXCEEDED");
  EXPECT_EQ(prefixViolation(head(90), rules), "");
  EXPECT_EQ(prefixViolation(head(200), rules), "");
  EXPECT_EQ(verdict("GET /" + std::string(98, 'a'), rules), "NEED_MORE");
  EXPECT_EQ(verdict("GET /" + std::string(99, 'a'), rules), "HEADER_BYTES_EXCEEDED");
  EXPECT_EQ(verdict("GET / HTTP/1.1\r\n" + std::string(99, 'a'), rules), "HEADER_BYTES_EXCEEDED");
  // What is not counted has its own bound.
  const std::string blanks(mostHeadBytes(rules) - head(1, "").size(), ' ');
  EXPECT_EQ(verdict(head(1, blanks), rules), "DONE");
  EXPECT_EQ(verdict(head(1, blanks + " "), rules), "HEADER_BYTES_EXCEEDED");
}

TEST("http1: header count at, below and above the limit") {
  const std::string text = withLines("A: 1\r\nB: 2\r\n");  // three fields
  for (const uint32_t count : {3u, 4u}) expectVerdict(text, "DONE", {.headerBytes = 1000, .headerCount = count});
  for (const uint32_t count : {0u, 1u, 2u})
    expectVerdict(text, "HEADER_COUNT_EXCEEDED", {.headerBytes = 1000, .headerCount = count});
  EXPECT_EQ(statusOf(HttpError::HeaderCountExceeded), 431);
}

TEST("http1: a name or value beyond the head text's fields is refused") {
  const ParserLimits wide{.headerBytes = 64u << 20, .headerCount = 10};
  const auto name = [](size_t length) { return withLines(std::string(length, 'n') + ": v\r\n"); };
  const auto value = [](size_t length) { return withLines("N: " + std::string(length, 'v') + "\r\n"); };
  EXPECT_EQ(verdict(name(0xFFFF), wide), "DONE");
  EXPECT_EQ(verdict(name(0x10000), wide), "HEADER_BYTES_EXCEEDED");
  EXPECT_EQ(verdict(value(0xFFFFFF), wide), "DONE");
  EXPECT_EQ(verdict(value(0x1000000), wide), "HEADER_BYTES_EXCEEDED");
}

TEST("http1: scans end right at every alignment and length") {
  for (size_t length = 0; length < 40; length++) {
    const std::string filler(length, 'a');
    expectVerdict("GET /" + filler + " HTTP/1.1\r\nHost: " + filler + "\r\nX-" + filler + ":" + filler + "\t" + filler +
                      "\r\n\r\n",
                  "DONE");
    expectVerdict("GET /" + filler + "\x80 HTTP/1.1\r\n", "INVALID_TARGET");
    expectVerdict(withLines("X: " + filler + "\x7F" + filler + "\r\n"), "INVALID_HEADER_VALUE");
    expectVerdict(withLines("X: " + filler + "\xFF\x80\xA0" + filler + "\r\n"), "DONE");
  }
}

TEST("http1: the earliest violation decides") {
  expectVerdict(withLines("Content-Length: 1a\x01\r\n"), "INVALID_CONTENT_LENGTH");
  expectVerdict(withLines("Content-Length: 1\x01"
                          "a\r\n"),
                "INVALID_HEADER_VALUE");
  expectVerdict(withLines("Transfer-Encoding: gzip\r \n"), "INVALID_TRANSFER_ENCODING");
  expectVerdict(withLines("Content-Length: \rX"), "INVALID_CONTENT_LENGTH");
  expectVerdict("GET / HTTP/1.1\r\nX: a\r\n\rX", "MISSING_HOST");
}

TEST("http1 trailers: fields up to the empty line") {
  const std::string text = "X-Sum: abc \r\nY:\r\n\r\nrest";
  std::vector<HeaderField> fields(4);
  uint32_t count = 0;
  uint32_t consumed = 0;
  const ParseOutcome outcome =
      parseTrailers(bytesOf(text), {.headerBytes = 100, .headerCount = 4}, fields, count, consumed);
  EXPECT_EQ(show(outcome), "DONE");
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(text.substr(consumed), "rest");
  EXPECT_EQ(slice(text, fields[0].valueOffset, fields[0].valueLength), "abc");
}

TEST("http1 trailers: bad syntax and forbidden fields at every split") {
  const auto trailerVerdict = [](std::string_view text, const ParserLimits& limits) {
    std::vector<HeaderField> fields(limits.headerCount);
    uint32_t count = 0;
    uint32_t consumed = 0;
    GuardedCopy guarded(text.size());
    return show(parseTrailers(guarded.place(text), limits, fields, count, consumed));
  };
  struct Form {
    const char* text;
    const char* expected;
    ParserLimits limits = {.headerBytes = 100, .headerCount = 3};
  };
  const Form forms[] = {
      {"\r\n", "DONE"},
      {"A: b\r\n\r\n", "DONE"},
      {"A : b\r\n\r\n", "INVALID_TRAILER"},
      {"A: b\r\n c\r\n\r\n", "INVALID_TRAILER"},
      {"A: \x01\r\n\r\n", "INVALID_TRAILER"},
      {"A: b\n\r\n", "INVALID_LINE_ENDING"},
      {"A: b\r\n\n", "INVALID_LINE_ENDING"},
      {"Content-Length: 1\r\n\r\n", "FORBIDDEN_TRAILER"},
      {"transfer-encoding: chunked\r\n\r\n", "FORBIDDEN_TRAILER"},
      {"Host: a\r\n\r\n", "FORBIDDEN_TRAILER"},
      {"A: b\r\nAuthorization: a\r\n\r\n", "FORBIDDEN_TRAILER"},
      {"Cookie: a\r\n\r\n", "FORBIDDEN_TRAILER"},
      {"Connection: close\r\n\r\n", "FORBIDDEN_TRAILER"},
      {"Trailer: a\r\n\r\n", "FORBIDDEN_TRAILER"},
      {"Content-Encoding: gzip\r\n\r\n", "FORBIDDEN_TRAILER"},
      {"A: 1\r\nB: 2\r\nC: 3\r\n\r\n", "DONE"},
      {"A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", "HEADER_COUNT_EXCEEDED"},
      {"A: 123\r\n\r\n", "DONE", {.headerBytes = 10, .headerCount = 3}},
      {"A: 123\r\n\r\n", "HEADER_BYTES_EXCEEDED", {.headerBytes = 9, .headerCount = 3}},
  };
  for (const Form& form : forms) {
    const std::string_view text = form.text;
    EXPECT_EQ(trailerVerdict(text, form.limits), form.expected);
    for (size_t length = 0; length < text.size(); length++) {
      const std::string got = trailerVerdict(text.substr(0, length), form.limits);
      EXPECT(got == "NEED_MORE" || (got == form.expected && got != "DONE"));
    }
  }
}

TEST("http1: errors have a stable name and an answer") {
  for (int i = 1; i < static_cast<int>(HttpError::Count); i++) {
    const auto error = static_cast<HttpError>(i);
    EXPECT(!nameOf(error).empty());
    EXPECT(statusOf(error) >= 400 && statusOf(error) <= 505);
  }
  EXPECT_EQ(statusOf(HttpError::UnsupportedVersion), 505);
  EXPECT_EQ(statusOf(HttpError::ChunkOverheadExceeded), 413);
  EXPECT_EQ(statusOf(HttpError::InvalidChunkSize), 400);
  EXPECT_EQ(headerName(HeaderId::Transfer_Encoding), "transfer-encoding");
  EXPECT_EQ(headerName(HeaderId::Unknown), "");
}
