#include "server/rest/wire.h"

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace pixpool::rest {
namespace {

namespace asio = boost::asio;

template <typename Stream>
void WriteBoth(Stream& stream, std::string_view first, std::string_view second,
               Wire::Handler done) {
  const std::array<asio::const_buffer, 2> both = {asio::buffer(first.data(), first.size()),
                                                  asio::buffer(second.data(), second.size())};
  asio::async_write(stream, both, std::move(done));
}

class Plain final : public Wire {
 public:
  explicit Plain(Socket socket) : socket_(std::move(socket)) {}

  Socket& socket() override { return socket_; }
  void Open(Handler done) override { Post(std::move(done)); }
  void ReadSome(asio::mutable_buffer into, Handler done) override {
    socket_.async_read_some(into, std::move(done));
  }
  void Write(std::string_view first, std::string_view second, Handler done) override {
    WriteBoth(socket_, first, second, std::move(done));
  }
  void End(Handler done) override {
    Error ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
    Post(std::move(done));
  }

 private:
  void Post(Handler done) {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done(Error(), 0); });
  }

  Socket socket_;
};

class Tls final : public Wire {
 public:
  Tls(Socket socket, std::shared_ptr<asio::ssl::context> context)
      : context_(std::move(context)), stream_(std::move(socket), *context_) {}

  Socket& socket() override { return stream_.next_layer(); }
  void Open(Handler done) override {
    stream_.async_handshake(asio::ssl::stream_base::server,
                            [done = std::move(done)](Error error) { done(error, 0); });
  }
  void ReadSome(asio::mutable_buffer into, Handler done) override {
    stream_.async_read_some(into, std::move(done));
  }
  void Write(std::string_view first, std::string_view second, Handler done) override {
    WriteBoth(stream_, first, second, std::move(done));
  }
  void End(Handler done) override {
    stream_.async_shutdown([done = std::move(done)](Error error) { done(error, 0); });
  }

 private:
  const std::shared_ptr<asio::ssl::context> context_;
  asio::ssl::stream<Socket> stream_;
};

}  // namespace

void Wire::Close() {
  Error ignored;
  socket().close(ignored);
}

std::unique_ptr<Wire> PlainWire(Wire::Socket socket) {
  return std::make_unique<Plain>(std::move(socket));
}

std::unique_ptr<Wire> TlsWire(Wire::Socket socket, std::shared_ptr<asio::ssl::context> context) {
  return std::make_unique<Tls>(std::move(socket), std::move(context));
}

}  // namespace pixpool::rest
