#include "client/bench/http_get.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixpool::bench {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = boost::asio::ip::tcp;
using testing::HasSubstr;
using testing::StartsWith;

constexpr absl::Duration kLong = absl::Seconds(60);
constexpr size_t kMaxBytes = 1000;

std::string Message(const absl::StatusOr<std::string>& body) {
  return std::string(body.status().message());
}

// Takes one connection, reads its request and hands the connection to `answer`. The destructor
// waits for that to end.
class OneAnswer {
 public:
  using Answer = std::function<void(tcp::socket&)>;

  explicit OneAnswer(Answer answer, const char* address = "127.0.0.1")
      : acceptor_(io_, {asio::ip::make_address(address), 0}),
        thread_([this, answer = std::move(answer)] {
          tcp::socket socket = acceptor_.accept();
          asio::streambuf buffer;
          error_code error;
          const size_t size = asio::read_until(socket, buffer, "\r\n\r\n", error);
          request_.assign(asio::buffers_begin(buffer.data()),
                          asio::buffers_begin(buffer.data()) + static_cast<std::ptrdiff_t>(size));
          answer(socket);
        }) {}
  // Answers with these bytes and closes.
  explicit OneAnswer(const std::string& bytes, const char* address = "127.0.0.1")
      : OneAnswer(
            [bytes](tcp::socket& socket) {
              error_code ignored;
              asio::write(socket, asio::buffer(bytes), ignored);
            },
            address) {}
  ~OneAnswer() { Join(); }

  std::string port() const { return absl::StrCat(acceptor_.local_endpoint().port()); }
  HttpUrl url() const { return {"127.0.0.1", port(), "/metrics"}; }
  // Of a connection that has ended.
  std::string request() {
    Join();
    return request_;
  }

 private:
  void Join() {
    if (thread_.joinable()) thread_.join();
  }

  asio::io_context io_;
  tcp::acceptor acceptor_;
  std::string request_;
  std::thread thread_;
};

TEST(HttpGetTest, BodyWithALength) {
  OneAnswer server("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\nwhat follows");
  const auto body = HttpGet(server.url(), kLong, kMaxBytes);
  ASSERT_TRUE(body.ok()) << body.status();
  EXPECT_EQ(*body, "a 1\n");
  const std::string request = server.request();
  EXPECT_THAT(request, StartsWith("GET /metrics HTTP/1.1\r\n"));
  EXPECT_THAT(request, HasSubstr(absl::StrCat("Host: 127.0.0.1:", server.port(), "\r\n")));
  EXPECT_THAT(request, HasSubstr("Connection: close\r\n"));
}

TEST(HttpGetTest, ChunkedBody) {
  OneAnswer server(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na \r\n2\r\n1\n\r\n0\r\n\r\n");
  EXPECT_EQ(HttpGet(server.url(), kLong, kMaxBytes).value_or("none"), "a 1\n");
}

TEST(HttpGetTest, BodyThatEndsWithTheConnection) {
  OneAnswer server("HTTP/1.0 200 OK\r\n\r\na 1\n");
  EXPECT_EQ(HttpGet(server.url(), kLong, kMaxBytes).value_or("none"), "a 1\n");
}

TEST(HttpGetTest, Ipv6) {
  std::optional<OneAnswer> server;
  try {
    server.emplace("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "::1");
  } catch (const boost::system::system_error&) {
    GTEST_SKIP() << "no IPv6 here";
  }
  const HttpUrl url{"::1", server->port(), "/metrics"};
  EXPECT_EQ(url.Text(), absl::StrCat("http://[::1]:", server->port(), "/metrics"));
  EXPECT_TRUE(HttpGet(url, kLong, kMaxBytes).ok());
  EXPECT_THAT(server->request(), HasSubstr(absl::StrCat("Host: [::1]:", server->port(), "\r\n")));
}

TEST(HttpGetTest, OtherAnswersAreUnavailable) {
  const std::pair<const char*, const char*> answers[] = {
      {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"},
      {"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "status 302"},
      {"+PONG 200 \r\n\r\n", "bad version"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na 1\n", "partial message"},
      {"", "end of stream"},
  };
  for (const auto& [answer, why] : answers) {
    OneAnswer server{std::string(answer)};
    const auto body = HttpGet(server.url(), kLong, kMaxBytes);
    EXPECT_TRUE(absl::IsUnavailable(body.status())) << answer;
    EXPECT_THAT(Message(body), HasSubstr(why));
    EXPECT_THAT(Message(body), StartsWith(server.url().Text()));
  }
}

TEST(HttpGetTest, BodiesAreBounded) {
  const std::string longest(kMaxBytes, 'a');
  const auto with_length = [](const std::string& body) {
    return absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
  };
  {
    OneAnswer server(with_length(longest));
    EXPECT_EQ(HttpGet(server.url(), kLong, kMaxBytes).value_or("none"), longest);
  }
  for (const std::string& answer :
       {with_length(longest + "a"), "HTTP/1.0 200 OK\r\n\r\n" + longest + "a",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + longest +
            "\r\n1\r\na\r\n0\r\n\r\n"}) {
    OneAnswer server(answer);
    const auto body = HttpGet(server.url(), kLong, kMaxBytes);
    EXPECT_THAT(Message(body), HasSubstr("body limit exceeded")) << answer.substr(0, 60);
  }
}

// An answer that comes byte by byte and does not end is none either: the limit is of the whole, not
// of each read.
TEST(HttpGetTest, EndlessAnswersEndInTime) {
  constexpr absl::Duration kTimeout = absl::Milliseconds(300);
  const std::function<void(tcp::socket&)> answers[] = {
      [](tcp::socket& socket) {
        error_code error;
        char byte;
        socket.read_some(asio::buffer(&byte, 1), error);  // until the client gives up
      },
      [](tcp::socket& socket) {
        error_code error;
        asio::write(socket, asio::buffer(std::string("HTTP/1.0 200 OK\r\n\r\n")), error);
        const absl::Time end = absl::Now() + absl::Seconds(20);
        while (!error && absl::Now() < end) {
          asio::write(socket, asio::buffer("a", 1), error);
        }
      }};
  for (const auto& answer : answers) {
    OneAnswer server(answer);
    const absl::Time start = absl::Now();
    const auto body = HttpGet(server.url(), kTimeout, size_t{1} << 40);
    const absl::Duration taken = absl::Now() - start;
    EXPECT_TRUE(absl::IsUnavailable(body.status())) << body.status();
    EXPECT_THAT(Message(body), HasSubstr("timeout"));
    EXPECT_GE(taken, kTimeout);
    EXPECT_LT(taken, absl::Seconds(10));
  }
}

TEST(HttpGetTest, NobodyThere) {
  const auto body = HttpGet({"127.0.0.1", "1", "/"}, kLong, kMaxBytes);
  EXPECT_TRUE(absl::IsUnavailable(body.status()));
  EXPECT_THAT(Message(body), HasSubstr("Connection refused"));
}

}  // namespace
}  // namespace pixpool::bench
