#include "http/response_writer.h"

#include <string>
#include <vector>

#include "test.h"

using namespace gammaloop;

namespace {

std::string written(const ResponseHead& head, const DateLine& date = {}) {
  std::vector<uint8_t> out(responseHeadBound(head));  // under the address sanitizer, a byte more ends the test
  const size_t size = writeResponseHead(head, date, out.data());
  EXPECT(size <= out.size());
  return std::string(out.begin(), out.begin() + static_cast<ptrdiff_t>(size));
}

ResponseHead plain(uint16_t status) {
  ResponseHead head;
  head.status = status;
  head.withDate = false;
  return head;
}

}  // namespace

TEST("response writer: a head with everything, in its order") {
  DateLine date;
  date.update(784111777);
  ResponseHead head;
  head.fields = "x-a: 1\r\nx-b: 2\r\n";
  head.connection = ConnectionField::KeepAlive;
  head.contentLength = 42;
  EXPECT_EQ(written(head, date),
            std::string("HTTP/1.1 200 OK\r\nx-a: 1\r\nx-b: 2\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                        "connection: keep-alive\r\ncontent-length: 42\r\n\r\n"));
}

TEST("response writer: each framing says what it must") {
  ResponseHead head = plain(404);
  head.framing = BodyFraming::Chunked;
  EXPECT_EQ(written(head), std::string("HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n"));
  head.framing = BodyFraming::Close;
  head.connection = ConnectionField::Close;
  EXPECT_EQ(written(head), std::string("HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n"));
  head = plain(204);
  head.framing = BodyFraming::None;
  EXPECT_EQ(written(head), std::string("HTTP/1.1 204 No Content\r\n\r\n"));
}

TEST("response writer: the bound holds for every status and the longest of all") {
  DateLine date;
  date.update(0);
  for (int status = 0; status < 1000; status++) {
    ResponseHead head;
    head.status = static_cast<uint16_t>(status);
    head.connection = ConnectionField::KeepAlive;
    head.contentLength = UINT64_MAX;
    const std::string text = written(head, date);
    EXPECT(text.ends_with("content-length: 18446744073709551615\r\n\r\n"));
    EXPECT_EQ(std::stoi(text.substr(9, 3)), status);
  }
}

TEST("response writer: a phrase of its own; an unknown status has none") {
  ResponseHead head = plain(299);
  EXPECT(written(head).starts_with("HTTP/1.1 299 \r\n"));
  head.reason = "Mostly";
  EXPECT(written(head).starts_with("HTTP/1.1 299 Mostly\r\n"));
  head.status = 200;
  EXPECT(written(head).starts_with("HTTP/1.1 200 Mostly\r\n"));
  EXPECT_EQ(standardReason(418), std::string_view("I'm a Teapot"));
  EXPECT_EQ(standardReason(65535), std::string_view());
}

TEST("response writer: which statuses have no body") {
  for (const int status : {100, 103, 199, 204, 304}) EXPECT(statusHasNoBody(static_cast<uint16_t>(status)));
  for (const int status : {200, 203, 205, 303, 305, 404, 500}) EXPECT(!statusHasNoBody(static_cast<uint16_t>(status)));
}

TEST("response writer: chunk sizes are hexadecimal and fit") {
  const auto chunk = [](uint64_t size) {
    std::vector<uint8_t> out(kChunkHeadBytes);
    return std::string(reinterpret_cast<char*>(out.data()), writeChunkHead(size, out.data()));
  };
  EXPECT_EQ(chunk(1), std::string("1\r\n"));
  EXPECT_EQ(chunk(255), std::string("ff\r\n"));
  EXPECT_EQ(chunk(UINT64_MAX), std::string("ffffffffffffffff\r\n"));
}

TEST("response writer: the date changes with the second, and only then") {
  DateLine date;
  date.update(0);
  EXPECT_EQ(date.text(), std::string_view("date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
  const char* before = date.text().data();
  date.update(0);
  EXPECT(date.text().data() == before);
  date.update(951782400);
  EXPECT_EQ(date.text(), std::string_view("date: Tue, 29 Feb 2000 00:00:00 GMT\r\n"));
}
