#include "client/bench/http_get.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace pixpool::bench {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = boost::asio::ip::tcp;

constexpr int kHttp11 = 11;

// The host as URLs and the Host field have it.
std::string Authority(const HttpUrl& url) {
  const bool ipv6 = url.host.find(':') != std::string::npos;
  return absl::StrCat(ipv6 ? "[" : "", url.host, ipv6 ? "]:" : ":", url.port);
}

absl::Status Failed(const HttpUrl& url, const std::string& why) {
  return absl::UnavailableError(absl::StrCat(url.Text(), ": ", why));
}

}  // namespace

std::string HttpUrl::Text() const { return absl::StrCat("http://", Authority(*this), path); }

absl::StatusOr<std::string> HttpGet(const HttpUrl& url, absl::Duration timeout, size_t max_bytes) {
  asio::io_context io(1);
  error_code error;
  const auto endpoints =
      tcp::resolver(io).resolve(url.host, url.port, tcp::resolver::numeric_service, error);
  if (error) return Failed(url, error.message());

  // Only asynchronous operations heed the stream's time limit, so each is one, run to its end.
  const auto run = [&io] {
    io.run();
    io.restart();
  };
  const auto keep = [&error](error_code result, const auto&...) { error = result; };
  beast::tcp_stream stream(io);
  stream.expires_after(absl::ToChronoNanoseconds(timeout));
  stream.async_connect(endpoints, keep);
  run();
  if (error) return Failed(url, error.message());

  http::request<http::empty_body> request(http::verb::get, url.path, kHttp11);
  request.set(http::field::host, Authority(url));
  request.keep_alive(false);
  http::async_write(stream, request, keep);
  run();
  if (error) return Failed(url, error.message());

  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(max_bytes);
  // The header alone first: reading on at once, Boost 1.74 overlooks that the stated length of the
  // body is beyond the limit.
  http::async_read_header(stream, buffer, parser, keep);
  run();
  if (error) return Failed(url, error.message());
  if (parser.get().result() != http::status::ok) {
    return Failed(url, absl::StrCat("status ", parser.get().result_int()));
  }
  http::async_read(stream, buffer, parser, keep);
  run();
  if (error) return Failed(url, error.message());
  return std::move(parser.get().body());
}

}  // namespace pixpool::bench
