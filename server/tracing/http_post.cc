#include "server/tracing/http_post.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <string_view>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/tracing/collector_tls.h"

namespace pixpool {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = boost::asio::ip::tcp;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr int kHttp11 = 11;
constexpr uint64_t kMostAnswerBytes = 1 << 20;

absl::Status Failed(std::string_view why) {
  return absl::UnavailableError(Concat("the collector ", why));
}

// A handler that keeps how an operation ended.
auto Keep(error_code* error) {
  *error = {};
  return [error](error_code result, const auto&...) { *error = result; };
}

}  // namespace

class HttpPoster::Impl {
 public:
  explicit Impl(const TracingSettings& settings)
      : host_(settings.host),
        port_(settings.port),
        tls_(settings.tls),
        timeout_(settings.timeout),
        request_(http::verb::post, settings.path, kHttp11) {
    const bool ipv6 = host_.find(':') != host_.npos;
    request_.set(http::field::host, Concat(ipv6 ? "[" : "", host_, ipv6 ? "]:" : ":", port_));
    request_.set(http::field::content_type, "application/x-protobuf");
    request_.set(http::field::user_agent, "pixpool-server");
    for (const auto& [name, value] : settings.headers) request_.set(name, value);
  }

  absl::Status Post(const std::string& body) {
    end_ = std::chrono::steady_clock::now() + timeout_;
    request_.body() = body;
    request_.prepare_payload();
    const bool kept = stream_.has_value();
    absl::Status status = kept ? Exchange() : ConnectAndExchange();
    // A kept connection may have been closed meanwhile, which shows only now.
    if (kept && !status.ok() && !answered_ && Left()) status = ConnectAndExchange();
    if (!status.ok() || !keep_) Drop();
    return status;
  }

  void HurryUp(std::chrono::milliseconds rest) {
    last_end_.store(std::chrono::steady_clock::now() + rest);
  }

 private:
  absl::Status ConnectAndExchange() {
    error_code error;
    const auto endpoints =
        tcp::resolver(io_).resolve(host_, port_, tcp::resolver::numeric_service, error);
    if (error) return Failed(Concat("has no address: ", error.message()));
    Drop();
    stream_.emplace(io_);
    stream_->async_connect(endpoints, Keep(&error));
    PIXPOOL_RETURN_IF_ERROR(Run(error));
    if (tls_.on) PIXPOOL_RETURN_IF_ERROR(Handshake());
    return Exchange();
  }

  absl::Status Handshake() {
    PIXPOOL_ASSIGN_OR_RETURN(TlsContext context, NewTlsContext(tls_));
    context_.emplace(context.release());
    secure_.emplace(*stream_, *context_);
    PIXPOOL_RETURN_IF_ERROR(ExpectHost(secure_->native_handle(), host_));
    error_code error;
    secure_->async_handshake(asio::ssl::stream_base::client, Keep(&error));
    const absl::Status status = Run(error);
    const std::string why = WhyNotTrusted(secure_->native_handle());
    return error && !why.empty() ? Failed(Concat("is not trusted: ", why)) : status;
  }

  absl::Status Exchange() { return secure_ ? Exchange(&*secure_) : Exchange(&*stream_); }

  template <typename Stream>
  absl::Status Exchange(Stream* stream) {
    answered_ = false;
    error_code error;
    http::async_write(*stream, request_, Keep(&error));
    PIXPOOL_RETURN_IF_ERROR(Run(error));
    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(kMostAnswerBytes);
    http::async_read_header(*stream, buffer, parser, Keep(&error));
    PIXPOOL_RETURN_IF_ERROR(Run(error));
    answered_ = true;
    http::async_read(*stream, buffer, parser, Keep(&error));
    PIXPOOL_RETURN_IF_ERROR(Run(error));
    keep_ = parser.keep_alive();
    const unsigned code = parser.get().result_int();
    if (code < 200 || code > 299) return Failed(Concat("answers ", code));
    return absl::OkStatus();
  }

  void Drop() {
    secure_.reset();
    context_.reset();
    stream_.reset();
  }

  bool Left() const { return std::chrono::steady_clock::now() < std::min(end_, last_end_.load()); }

  // Runs what was begun to its end, or to that of the time.
  absl::Status Run(const error_code& error) {
    constexpr std::chrono::milliseconds kLook(50);
    io_.restart();
    bool late = false;
    while (io_.run_for(kLook), !io_.stopped()) {
      if (Left() || late) continue;
      late = true;
      // Cancelled alone, the connecting goes on with the name's next address.
      stream_->close();
    }
    if (late) return Failed("took too long");
    if (error) return Failed(Concat("cannot be reached: ", error.message()));
    return absl::OkStatus();
  }

  const std::string host_;
  const std::string port_;
  const CollectorTls tls_;
  const std::chrono::milliseconds timeout_;
  http::request<http::string_body> request_;
  asio::io_context io_{1};
  std::optional<beast::tcp_stream> stream_;
  std::optional<asio::ssl::context> context_;  // of secure_
  std::optional<asio::ssl::stream<beast::tcp_stream&>> secure_;
  SteadyTime end_;
  std::atomic<SteadyTime> last_end_{SteadyTime::max()};
  bool answered_ = false;  // the last request, in part at least
  bool keep_ = false;
};

HttpPoster::HttpPoster(const TracingSettings& settings) : impl_(std::make_unique<Impl>(settings)) {}
HttpPoster::~HttpPoster() = default;

absl::Status HttpPoster::Post(const std::string& body) { return impl_->Post(body); }
void HttpPoster::HurryUp(std::chrono::milliseconds rest) { impl_->HurryUp(rest); }

}  // namespace pixpool
