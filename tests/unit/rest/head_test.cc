#include "server/rest/head.h"

#include <gtest/gtest.h>

#include "server/base/text.h"

namespace pixpool::rest {
namespace {

RequestHead Read(std::string_view bytes) {
  RequestHead head;
  const auto fault = ReadHead(bytes, &head);
  EXPECT_FALSE(fault.has_value()) << (fault ? fault->message : "");
  return head;
}

int Refused(std::string_view bytes) {
  RequestHead head;
  const auto fault = ReadHead(bytes, &head);
  return fault ? fault->status : 0;
}

int RefusedField(std::string_view lines) {
  return Refused(Concat("POST / HTTP/1.1\r\nHost: a\r\n", lines, "\r\n"));
}

TEST(ReadHead, TakesARequestApart) {
  const RequestHead head = Read(
      "POST /v1/features?head=gem%3Ap&a HTTP/1.1\r\nHost: a:1\r\nContent-LENGTH:  12 \r\n"
      "X-Two: a\r\nx-two: b\r\nEmpty:\r\n\r\n");
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.path, "/v1/features");
  EXPECT_EQ(head.query, "head=gem%3Ap&a");
  EXPECT_EQ(head.content_length, 12u);
  EXPECT_EQ(head.Values("x-two"), (std::vector<std::string_view>{"a", "b"}));
  EXPECT_EQ(head.Only("x-two"), std::nullopt);
  EXPECT_EQ(head.Only("empty"), std::nullopt);
  EXPECT_TRUE(head.keep_alive && head.has_body() && !head.chunked && !head.expects_continue);
}

TEST(ReadHead, KnowsWhenTheConnectionEnds) {
  EXPECT_FALSE(Read("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n").keep_alive);
  EXPECT_FALSE(Read("GET / HTTP/1.0\r\n\r\n").keep_alive);
}

TEST(ReadHead, TakesTargetsOfProxies) {
  EXPECT_EQ(Read("GET http://a:1/b?c HTTP/1.1\r\nHost: a\r\n\r\n").path, "/b");
  EXPECT_EQ(Read("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").path, "/");
  EXPECT_EQ(Read("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
}

TEST(ReadHead, RefusesWhatTwoServersCouldTakeForDifferentRequests) {
  for (const char* lines : {
           "Content-Length: 3\r\nContent-Length: 3\r\n",
           "Content-Length: 3, 3\r\n",
           "Content-Length: +3\r\n",
           "Content-Length: -3\r\n",
           "Content-Length: 0x3\r\n",
           "Content-Length: 3 3\r\n",
           "Content-Length:\r\n",
           "Content-Length: 99999999999999999999\r\n",
           "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
           "Content-Length : 3\r\n",
           " Content-Length: 3\r\n",
           "A: b\r\n c\r\n",
           "A: b\r\n\tc\r\n",
           "A: b\nContent-Length: 3\r\n",
           "A: b\rContent-Length: 3\r\n",
           "A\r\n",
           ": b\r\n",
           "A(: b\r\n",
           "Host: b\r\n",
           "A: b\x01\r\n",
           "A: b\x7f\r\n",
       }) {
    EXPECT_EQ(RefusedField(lines), 400) << lines;
  }
  EXPECT_EQ(Refused(std::string_view("GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n", 33)), 400);
  EXPECT_EQ(RefusedField("Transfer-Encoding: gzip, chunked\r\n"), 501);
  EXPECT_EQ(RefusedField("Transfer-Encoding: identity\r\n"), 501);
  EXPECT_EQ(RefusedField("Transfer-Encoding: xchunked\r\n"), 501);
  EXPECT_EQ(Refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(ReadHead, RefusesOtherRequestLines) {
  for (const char* line : {"GET", "GET /", "GET  HTTP/1.1", "GET a HTTP/1.1", "G(T / HTTP/1.1",
                           "GET /a b HTTP/1.1", "GET * HTTP/1.1", "", " GET / HTTP/1.1"}) {
    EXPECT_EQ(Refused(Concat(line, "\r\nHost: a\r\n\r\n")), 400) << line;
  }
  for (const char* version : {"HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "http/1.1"}) {
    EXPECT_EQ(Refused(Concat("GET / ", version, "\r\nHost: a\r\n\r\n")), 505) << version;
  }
  EXPECT_EQ(Refused("GET / HTTP/1.1\r\n\r\n"), 400) << "no host";
}

TEST(ReadHead, BoundsItsFields) {
  std::string lines;
  for (size_t i = 1; i < kMaxHeadFields; ++i) lines += "a: b\r\n";
  EXPECT_EQ(RefusedField(lines), 0);
  EXPECT_EQ(RefusedField(lines + "a: b\r\n"), 431);
}

TEST(ReadHead, KnowsOneExpectation) {
  EXPECT_TRUE(Read("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n").expects_continue);
  EXPECT_EQ(RefusedField("Expect: tea\r\n"), 417);
}

}  // namespace
}  // namespace pixpool::rest
