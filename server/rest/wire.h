// The bytes of one connection, plain or encrypted.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>
#include <functional>
#include <memory>
#include <string_view>

namespace pixpool::rest {

// Its handlers run on the executor of its socket, a strand, and so must its calls: one read and one
// write at a time. Handlers keep alive what they capture until they have run.
class Wire {
 public:
  using Error = boost::system::error_code;
  using Handler = std::function<void(Error error, size_t bytes)>;
  using Socket = boost::asio::ip::tcp::socket;

  virtual ~Wire() = default;

  virtual Socket& socket() = 0;
  // The handshake, if there is one.
  virtual void Open(Handler done) = 0;
  virtual void ReadSome(boost::asio::mutable_buffer into, Handler done) = 0;
  // All of both, which must stay until then.
  virtual void Write(std::string_view first, std::string_view second, Handler done) = 0;
  // Says that nothing more follows.
  virtual void End(Handler done) = 0;
  void Close();
};

std::unique_ptr<Wire> PlainWire(Wire::Socket socket);
std::unique_ptr<Wire> TlsWire(Wire::Socket socket,
                              std::shared_ptr<boost::asio::ssl::context> context);

}  // namespace pixpool::rest
