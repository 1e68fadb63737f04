#include "server/metrics/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <utility>
#include <vector>

namespace pixpool {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// A client's end of a connection. Reading gives up after 15 s, far beyond what the server allows
// itself.
class Client {
 public:
  explicit Client(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    timeval limit{15, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  Client(Client&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
  ~Client() {
    if (fd_ >= 0) close(fd_);
  }

  bool connected() const { return connected_; }
  bool Send(const std::string& bytes) {
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  // Everything up to the end of the connection.
  std::string ReadAll() {
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = recv(fd_, buffer, sizeof(buffer), 0)) > 0;) {
      text.append(buffer, static_cast<size_t>(n));
    }
    return text;
  }
  // Until the text so far contains `what`, or the connection ends.
  std::string ReadUntil(const std::string& what) {
    std::string text;
    char c = 0;
    while (text.find(what) == text.npos && recv(fd_, &c, 1, 0) == 1) text += c;
    return text;
  }

 private:
  int fd_;
  bool connected_ = false;
};

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override {
    HttpHandlers handlers;
    handlers.metrics = [this] {
      if (throws_) throw std::runtime_error("secret");
      return body_;
    };
    handlers.live = [this] {
      return live_ ? absl::OkStatus() : absl::UnavailableError("port: is deaf");
    };
    handlers.ready = [this] {
      return ready_ ? absl::OkStatus() : absl::UnavailableError("models: are loading");
    };
    auto server = StartHttpServer("127.0.0.1:0", std::move(handlers));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ASSERT_GT(server_->port(), 0);
  }

  // One exchange on its own connection.
  std::string Ask(const std::string& request) {
    Client client(server_->port());
    client.Send(request);
    return client.ReadAll();
  }
  std::string Get(const std::string& path) {
    return Ask("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }

  std::string body_ = "a_metric 1\n";
  std::atomic<bool> live_{true};
  std::atomic<bool> ready_{true};
  std::atomic<bool> throws_{false};
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, ServesMetricsAndProbes) {
  EXPECT_THAT(Get("/metrics"),
              AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("text/plain; version=0.0.4"),
                    HasSubstr("Content-Length: 11\r\n"), EndsWith("\r\n\r\na_metric 1\n")));
  EXPECT_THAT(Get("/metrics?name[]=x"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Get("/livez"), AllOf(StartsWith("HTTP/1.1 200"), EndsWith("ok\n")));
  EXPECT_THAT(Get("/readyz"), AllOf(StartsWith("HTTP/1.1 200"), EndsWith("ok\n")));
  ready_ = false;
  EXPECT_THAT(Get("/readyz"), AllOf(StartsWith("HTTP/1.1 503"),
                                    EndsWith("\r\n\r\nnot ready: models: are loading\n")));
  EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200"));
  live_ = false;
  EXPECT_THAT(Get("/livez"),
              AllOf(StartsWith("HTTP/1.1 503"), EndsWith("\r\n\r\nnot live: port: is deaf\n")));
}

TEST_F(HttpServerTest, HeadHasTheLengthButNoBody) {
  EXPECT_THAT(
      Ask("HEAD /metrics HTTP/1.1\r\nConnection: close\r\n\r\n"),
      AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Content-Length: 11\r\n"), EndsWith("\r\n\r\n")));
}

TEST_F(HttpServerTest, OtherPathsAreNotFound) {
  for (const char* path : {"/", "/metrics/", "/../etc/passwd", "/metricsx", "//metrics",
                           "http://x/metrics", "*", "/%6detrics"}) {
    EXPECT_THAT(Get(path), StartsWith("HTTP/1.1 404")) << path;
  }
}

TEST_F(HttpServerTest, OtherMethodsAreNotAllowed) {
  for (const char* method : {"POST", "PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "BREW"}) {
    const std::string reply =
        Ask(std::string(method) + " /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
    EXPECT_THAT(reply, AllOf(StartsWith("HTTP/1.1 405"), HasSubstr("Allow: GET, HEAD\r\n")))
        << method;
  }
}

TEST_F(HttpServerTest, KeepsAConnectionForSeveralRequests) {
  Client client(server_->port());
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.Send("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_THAT(client.ReadUntil("ok\n"), StartsWith("HTTP/1.1 200"));
  }
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInTurn) {
  const std::string reply =
      Ask("GET /livez HTTP/1.1\r\n\r\nGET /nowhere HTTP/1.1\r\n\r\n"
          "GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
  const size_t second = reply.find("HTTP/1.1 404");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200"));
  ASSERT_NE(second, reply.npos);
  EXPECT_THAT(reply.substr(second), HasSubstr("HTTP/1.1 200"));
}

TEST_F(HttpServerTest, PipelinedJunkEndsTheConnection) {
  const std::string reply =
      Ask("GET /livez HTTP/1.1\r\n\r\n\x16\x03\x01 junk \r\n\r\nGET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_THAT(reply, AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("HTTP/1.1 400"),
                           Not(HasSubstr("a_metric"))));
}

TEST_F(HttpServerTest, ABodyIsNeverTakenForTheNextRequest) {
  const std::string hidden = "GET /metrics HTTP/1.1\r\n\r\n";
  const std::string length = std::to_string(hidden.size());
  for (const std::string& header :
       {"Content-Length: " + length, std::string("Transfer-Encoding: chunked")}) {
    const std::string reply = Ask("GET /livez HTTP/1.1\r\n" + header + "\r\n\r\n" + hidden);
    EXPECT_THAT(reply, AllOf(StartsWith("HTTP/1.1 200"), Not(HasSubstr("a_metric")))) << header;
  }
}

TEST_F(HttpServerTest, MalformedRequestsAreRefused) {
  for (const std::string& request :
       {std::string("GET\r\n\r\n"), std::string("\r\n\r\nfoo bar\r\n\r\n"),
        std::string("GET /metrics HTTP/9.9\r\n\r\n"), std::string(64, '\0'),
        std::string("GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
        std::string("GET /metrics HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        std::string("GET /metrics HTTP/1.1\r\nbad header\r\n\r\n")}) {
    EXPECT_THAT(Ask(request), StartsWith("HTTP/1.1 400")) << request;
  }
}

TEST_F(HttpServerTest, OversizedHeadersAreRefused) {
  const std::string big(64 << 10, 'a');
  EXPECT_THAT(Ask("GET /" + big + " HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Ask("GET /metrics HTTP/1.1\r\nX: " + big + "\r\n\r\n"), StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Ask("GET " + std::string(9000, '/') + "metrics HTTP/1.1\r\n\r\n"),
              StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Get("/metrics"), StartsWith("HTTP/1.1 200")) << "still there";
}

TEST_F(HttpServerTest, AHandlerThatThrowsGivesNoDetail) {
  throws_ = true;
  EXPECT_THAT(Get("/metrics"), AllOf(StartsWith("HTTP/1.1 500"), Not(HasSubstr("secret"))));
}

TEST_F(HttpServerTest, SlowAndSilentClientsAreCutOff) {
  const auto start = steady_clock::now();
  Client silent(server_->port());
  Client half(server_->port());
  ASSERT_TRUE(half.Send("GET /metrics HT"));
  Client idle(server_->port());
  ASSERT_TRUE(idle.Send("GET /livez HTTP/1.1\r\n\r\n"));
  EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200")) << "others are served meanwhile";
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(half.ReadAll(), "");
  EXPECT_THAT(idle.ReadAll(), EndsWith("ok\n"));
  const auto took = steady_clock::now() - start;
  EXPECT_GE(took, seconds(4));
  EXPECT_LE(took, seconds(12)) << "by the server, not by this client's patience";
}

TEST_F(HttpServerTest, AClientThatNeverReadsIsCutOff) {
  body_ = std::string(64 << 20, 'x');  // more than the sockets' buffers hold
  Client deaf(server_->port());
  ASSERT_TRUE(deaf.Send("GET /metrics HTTP/1.1\r\n\r\n"));
  EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200")) << "others are served meanwhile";
  // This one came later and gets as much time, so when it ends, so has the other.
  Client silent(server_->port());
  EXPECT_EQ(silent.ReadAll(), "");
  const std::string received = deaf.ReadAll();
  EXPECT_THAT(received.substr(0, 20), StartsWith("HTTP/1.1 200"));
  EXPECT_LT(received.size(), body_.size());
}

TEST_F(HttpServerTest, ConnectionsAreBounded) {
  constexpr int kMost = 256;
  constexpr int kAsked = 300;
  std::vector<Client> clients;
  for (int i = 0; i < kAsked; ++i) {
    clients.emplace_back(server_->port());
    ASSERT_TRUE(clients.back().connected());
  }
  // The first to come give way, long before their time is over.
  const auto start = steady_clock::now();
  for (int i = 0; i < kAsked - kMost; ++i) EXPECT_EQ(clients[i].ReadAll(), "") << i;
  EXPECT_LT(steady_clock::now() - start, seconds(4));
  int served = 0;
  for (Client& client : clients) {
    client.Send("GET /livez HTTP/1.1\r\n\r\n");
    if (client.ReadUntil("ok\n").starts_with("HTTP/1.1 200")) ++served;
  }
  EXPECT_EQ(served, kMost);
  clients.clear();
  // The server notices the closed connections on its own time.
  const auto limit = steady_clock::now() + seconds(10);
  std::string reply;
  while (reply.empty() && steady_clock::now() < limit) reply = Get("/livez");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200")) << "there is room again";
}

TEST_F(HttpServerTest, TheSilentDoNotKeepProbesOut) {
  std::vector<Client> silent;
  for (int i = 0; i < 400; ++i) {
    silent.emplace_back(server_->port());
    ASSERT_TRUE(silent.back().connected());
    // Half of them in the middle of a request.
    if (i % 2 == 1) silent.back().Send("GET /metrics HTTP/1.1\r\nHost: x\r\n");
    if (i >= 250) {
      EXPECT_THAT(Get("/livez"), StartsWith("HTTP/1.1 200")) << i;
    }
  }
}

TEST_F(HttpServerTest, StopsAtOnceWithConnectionsOpen) {
  std::vector<Client> clients;
  for (int i = 0; i < 10; ++i) clients.emplace_back(server_->port());
  clients[0].Send("GET /metrics HT");
  const auto start = steady_clock::now();
  server_.reset();
  EXPECT_LT(steady_clock::now() - start, seconds(2));
  for (Client& client : clients) EXPECT_EQ(client.ReadAll(), "");
}

TEST_F(HttpServerTest, AddressesThatCannotBeHad) {
  const std::string taken = "127.0.0.1:" + std::to_string(server_->port());
  const auto busy = StartHttpServer(taken, {});
  ASSERT_FALSE(busy.ok());
  EXPECT_EQ(busy.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(busy.status().message()),
              AllOf(HasSubstr("--http-listen"), HasSubstr(taken), HasSubstr("in use"),
                    Not(HasSubstr("\n"))));
  EXPECT_EQ(StartHttpServer("192.0.2.1:0", {}).status().code(), absl::StatusCode::kUnavailable)
      << "an address of no interface";
  for (const char* bad : {"", "nonsense", "127.0.0.1", "::1:80", "127.0.0.1:99999", ":80"}) {
    EXPECT_EQ(StartHttpServer(bad, {}).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace pixpool
