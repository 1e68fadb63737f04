#include "server/metrics/http_server.h"

#include <array>
#include <atomic>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <exception>
#include <list>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/synchronization/mutex.h"
#include "server/base/text.h"
#include "server/base/thread_pool.h"
#include "server/metrics/options.h"

namespace pixpool {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = boost::asio::ip::tcp;

constexpr int kThreads = 2;
// Beyond this, the connection that has waited longest for its client gives way to a new one: those
// who send nothing cannot keep probes out.
constexpr int kMaxConnections = 256;
constexpr uint32_t kMaxHeaderBytes = 8 << 10;
constexpr auto kRequestTime = std::chrono::seconds(5);
constexpr auto kIdleTime = std::chrono::seconds(5);
// After the last reply: how long bytes that the client still sends are read and thrown away.
// Closing at once would reset the connection, and the client could lose the reply.
constexpr auto kLingerTime = std::chrono::seconds(1);
constexpr auto kAcceptRetryTime = std::chrono::milliseconds(100);

constexpr char kPlainText[] = "text/plain; charset=utf-8";
constexpr char kExposition[] = "text/plain; version=0.0.4; charset=utf-8";

struct Reply {
  http::status status = http::status::ok;
  std::string body;
  const char* content_type = kPlainText;
};

Reply Verdict(const absl::Status& status, const char* bad_text) {
  if (status.ok()) return {http::status::ok, "ok\n"};
  return {http::status::service_unavailable, Concat(bad_text, ": ", status.message(), "\n")};
}

Reply Route(const HttpHandlers& handlers, http::verb method, std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  if (path != "/metrics" && path != "/livez" && path != "/readyz") {
    return {http::status::not_found, "not found; there are /metrics, /livez and /readyz\n"};
  }
  if (method != http::verb::get && method != http::verb::head) {
    return {http::status::method_not_allowed, "only GET and HEAD\n"};
  }
  try {
    if (path == "/metrics") return {http::status::ok, handlers.metrics(), kExposition};
    if (path == "/livez") return Verdict(handlers.live(), "not live");
    return Verdict(handlers.ready(), "not ready");
  } catch (const std::exception&) {
    return {http::status::internal_server_error, "internal error\n"};
  }
}

class Session;

// The connections that wait for their client's request, the longest first.
class Waiting {
 public:
  struct Place {
    std::list<std::weak_ptr<Session>>::iterator at;
    std::atomic<bool> waits{false};
  };

  void Add(Place* place, std::weak_ptr<Session> session) {
    absl::MutexLock lock(&mu_);
    if (place->waits) return;
    place->at = sessions_.insert(sessions_.end(), std::move(session));
    place->waits = true;
  }

  void Remove(Place* place) {
    absl::MutexLock lock(&mu_);
    if (place->waits.exchange(false)) sessions_.erase(place->at);
  }

  // The one that has waited longest, which then is the one that has waited least: asked to go once
  // for each newcomer.
  std::shared_ptr<Session> Longest() {
    absl::MutexLock lock(&mu_);
    if (sessions_.empty()) return nullptr;
    sessions_.splice(sessions_.end(), sessions_, sessions_.begin());
    return sessions_.back().lock();
  }

  std::atomic<int> open{0};  // connections, these and those that are being answered

 private:
  absl::Mutex mu_;
  std::list<std::weak_ptr<Session>> sessions_ ABSL_GUARDED_BY(mu_);
};

// One connection: reads a header, answers, and again. Kept alive by the operations that it has
// started, of which there is one at a time; all run on its strand.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, const HttpHandlers* handlers, Waiting* waiting)
      : stream_(std::move(socket)), handlers_(handlers), waiting_(waiting) {
    waiting_->open.fetch_add(1);
  }
  ~Session() {
    waiting_->Remove(&place_);
    waiting_->open.fetch_sub(1);
  }

  void Start() {
    asio::dispatch(stream_.get_executor(), [self = shared_from_this()] { self->WaitForRequest(); });
  }

  // From any thread.
  void GiveWay() {
    asio::dispatch(stream_.get_executor(), [self = shared_from_this()] {
      if (self->place_.waits) self->stream_.close();
    });
  }

 private:
  void WaitForRequest() {
    waiting_->Add(&place_, weak_from_this());
    if (buffer_.size() > 0) return ReadHeader();
    stream_.expires_after(kIdleTime);
    stream_.async_read_some(buffer_.prepare(kMaxHeaderBytes),
                            [self = shared_from_this()](error_code error, size_t size) {
                              if (error) return;
                              self->buffer_.commit(size);
                              self->ReadHeader();
                            });
  }

  void ReadHeader() {
    parser_.emplace();
    parser_->header_limit(kMaxHeaderBytes);
    stream_.expires_after(kRequestTime);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](error_code error, size_t) { self->OnHeader(error); });
  }

  void OnHeader(error_code error) {
    if (error == http::error::header_limit) {
      waiting_->Remove(&place_);
      return Send({http::status::request_header_fields_too_large, "header over 8 KiB\n"}, false,
                  false);
    }
    if (error == http::error::end_of_stream || error == http::error::partial_message) return;
    if (error.category() == http::make_error_code(http::error::bad_method).category()) {
      waiting_->Remove(&place_);
      return Send({http::status::bad_request, "malformed request\n"}, false, false);
    }
    if (error) return;
    waiting_->Remove(&place_);
    const auto& request = parser_->get();
    const auto target = request.target();
    Reply reply =
        Route(*handlers_, request.method(), std::string_view(target.data(), target.size()));
    // Bodies are not read, so what follows one is not the next request.
    const bool has_body = parser_->chunked() || parser_->content_length().value_or(0) > 0;
    Send(std::move(reply), request.keep_alive() && !has_body, request.method() == http::verb::head);
  }

  void Send(Reply reply, bool keep_alive, bool head) {
    response_ = {};
    response_.version(11);
    response_.result(reply.status);
    response_.set(http::field::content_type, reply.content_type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    if (reply.status == http::status::method_not_allowed) {
      response_.set(http::field::allow, "GET, HEAD");
    }
    response_.keep_alive(keep_alive);
    response_.content_length(reply.body.size());
    if (!head) response_.body() = std::move(reply.body);
    serializer_.emplace(response_);
    stream_.expires_after(kRequestTime);
    http::async_write(stream_, *serializer_,
                      [self = shared_from_this(), keep_alive](error_code error, size_t) {
                        if (error) return;
                        keep_alive ? self->WaitForRequest() : self->Close();
                      });
  }

  void Close() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.expires_after(kLingerTime);
    Discard();
  }

  void Discard() {
    stream_.async_read_some(asio::buffer(scratch_),
                            [self = shared_from_this()](error_code error, size_t) {
                              if (!error) self->Discard();
                            });
  }

  beast::tcp_stream stream_;
  const HttpHandlers* const handlers_;
  Waiting* const waiting_;
  Waiting::Place place_;
  beast::flat_buffer buffer_{2 * kMaxHeaderBytes};
  std::optional<http::request_parser<http::empty_body>> parser_;
  http::response<http::string_body> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  std::array<char, 1024> scratch_;
};

class BeastServer final : public HttpServer {
 public:
  explicit BeastServer(HttpHandlers handlers)
      : handlers_(std::move(handlers)), acceptor_(io_), retry_(io_) {}

  ~BeastServer() override {
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
  }

  absl::Status Start(const std::string& address);

  int port() const override { return port_; }

 private:
  error_code Listen(const tcp::endpoint& endpoint);
  void Accept();

  const HttpHandlers handlers_;
  Waiting waiting_;  // before io_, whose end is that of the last connections
  asio::io_context io_{kThreads};
  tcp::acceptor acceptor_;    // used by one handler at a time
  asio::steady_timer retry_;  // likewise
  int port_ = 0;
  std::vector<std::thread> threads_;
};

// "host:port" or "[v6]:port".
std::optional<std::pair<std::string, std::string>> SplitAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == address.npos || colon == 0) return std::nullopt;
  std::string host = address.substr(0, colon);
  const std::string port = address.substr(colon + 1);
  if (host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != host.npos) {
    return std::nullopt;
  }
  int number = 0;
  if (!absl::SimpleAtoi(port, &number) || number < 0 || number > 65535) return std::nullopt;
  return std::make_pair(host, port);
}

absl::Status BeastServer::Start(const std::string& address) {
  const auto parts = SplitAddress(address);
  if (!parts) {
    return absl::InvalidArgumentError(
        Concat(HttpOptions::kListen.flag, ": \"", address,
               "\" is not host:port (IPv6 addresses go in brackets)"));
  }
  error_code error;
  tcp::resolver resolver(io_);
  const auto endpoints = resolver.resolve(
      parts->first, parts->second, tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (!error) {
    for (const auto& entry : endpoints) {
      error = Listen(entry.endpoint());
      if (!error) break;
    }
  }
  if (error) {
    return absl::UnavailableError(
        Concat(HttpOptions::kListen.flag, ": cannot listen on ", address, ": ", error.message()));
  }
  port_ = acceptor_.local_endpoint().port();
  Accept();
  for (int i = 0; i < kThreads; ++i) {
    threads_.emplace_back([this] {
      SetThreadName("http");
      io_.run();
    });
  }
  return absl::OkStatus();
}

error_code BeastServer::Listen(const tcp::endpoint& endpoint) {
  error_code error;
  error_code ignored;
  acceptor_.close(ignored);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  return error;
}

void BeastServer::Accept() {
  acceptor_.async_accept(asio::make_strand(io_), [this](error_code error, tcp::socket socket) {
    if (error) {
      // Out of descriptors, most likely: trying again at once would spin.
      retry_.expires_after(kAcceptRetryTime);
      retry_.async_wait([this](error_code stopped) {
        if (!stopped) Accept();
      });
      return;
    }
    const int open = waiting_.open.load();
    const auto longest = open >= kMaxConnections ? waiting_.Longest() : nullptr;
    if (longest != nullptr) longest->GiveWay();
    // Those that give way take a moment to be gone.
    if (open < kMaxConnections || (longest != nullptr && open < 2 * kMaxConnections)) {
      std::make_shared<Session>(std::move(socket), &handlers_, &waiting_)->Start();
    } else {
      error_code ignored;
      socket.close(ignored);
    }
    Accept();
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> StartHttpServer(const std::string& address,
                                                            HttpHandlers handlers) {
  auto server = std::make_unique<BeastServer>(std::move(handlers));
  absl::Status status = server->Start(address);
  if (!status.ok()) return status;
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace pixpool
