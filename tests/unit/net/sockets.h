// The clients' side of a listening port, for the tests of this folder.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "server/net/descriptor.h"
#include "server/net/listen.h"
#include "server/net/socket_address.h"
#include "server/net/unix_socket.h"

namespace pixpool {

inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline SocketAddress Address(const std::string& host_port) { return Resolve(host_port)->front(); }
inline SocketAddress Loopback(int port) { return Address("127.0.0.1:" + std::to_string(port)); }

inline absl::StatusOr<Listening> Listen(const std::string& place) {
  return ListenOn(*ParseListenAddress(place), 0600);
}

// A connection to a Unix socket; invalid where nobody listens.
inline Descriptor ConnectPath(const std::string& path) {
  Descriptor client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress to = UnixAddress(path);
  if (connect(client.get(), to.get(), to.size) != 0) client.Close();
  return client;
}

// A connection to the port, from 127.0.0.1 or from `source`.
inline Descriptor Connect(int port, const std::string& source = "127.0.0.1:0") {
  Descriptor client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const SocketAddress from = Address(source);
  const SocketAddress to = Loopback(port);
  if (bind(client.get(), from.get(), from.size) != 0 ||
      connect(client.get(), to.get(), to.size) != 0) {
    client.Close();
  }
  return client;
}

inline void Send(const Descriptor& socket, std::string_view bytes) {
  [[maybe_unused]] const ssize_t sent =
      send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

// Whether the other end closes within ten seconds, or has done so while Connect still waited.
inline bool IsClosed(const Descriptor& socket) {
  if (!socket.valid()) return true;
  pollfd wait = {.fd = socket.get(), .events = POLLIN, .revents = 0};
  char byte = 0;
  return poll(&wait, 1, 10'000) == 1 && recv(socket.get(), &byte, 1, 0) <= 0;
}

}  // namespace pixpool
