#include "server/net/listen.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "server/base/status_macros.h"
#include "server/net/socket_address.h"

namespace pixpool {
namespace {

constexpr int kUnacknowledgedMs = 10'000;  // as gRPC's keepalive timeout

void Set(const Descriptor& socket, int level, int name, int value) {
  setsockopt(socket.get(), level, name, &value, sizeof(value));
}

absl::StatusOr<Descriptor> ListenAt(const SocketAddress& address) {
  const int family = address.storage.ss_family;
  Descriptor socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.valid()) {
    // A port whose connections are still in TIME_WAIT is free; one that listens is not.
    Set(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    if (family == AF_INET6) Set(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    Set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    Set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, kUnacknowledgedMs);
    if (bind(socket.get(), address.get(), address.size) == 0 &&
        listen(socket.get(), SOMAXCONN) == 0) {
      return socket;
    }
  }
  return absl::UnavailableError(std::strerror(errno));
}

}  // namespace

absl::StatusOr<Listening> ListenOn(const ListenAddress& where, mode_t mode) {
  Listening listening{.text = where.text};
  if (where.is_unix()) {
    PIXPOOL_ASSIGN_OR_RETURN(UnixListener listener, ListenAtPath(where.path, mode));
    listening.sockets.push_back(std::move(listener.socket));
    listening.file = std::move(listener.file);
    return listening;
  }
  PIXPOOL_ASSIGN_OR_RETURN(const std::vector<SocketAddress> addresses, Resolve(where.text));
  absl::Status failure = absl::NotFoundError("the name has no address");
  for (SocketAddress address : addresses) {
    if (address.port() == 0) address.set_port(listening.port);
    absl::StatusOr<Descriptor> socket = ListenAt(address);
    if (!socket.ok() && IsWildcardV6(address)) {
      address = WildcardV4(address.port());
      socket = ListenAt(address);
    }
    if (!socket.ok()) {
      failure = socket.status();
      continue;
    }
    getsockname(socket->get(), address.get(), &address.size);
    listening.port = address.port();
    listening.sockets.push_back(*std::move(socket));
  }
  if (listening.sockets.empty()) return failure;
  listening.text = WithPort(where.text, listening.port);
  return listening;
}

bool OnLoopback(const Listening& listening) {
  return std::all_of(listening.sockets.begin(), listening.sockets.end(), [](const auto& socket) {
    SocketAddress address;
    getsockname(socket.get(), address.get(), &address.size);
    return IsLoopback(address);
  });
}

SocketAddress ProbeAddress(const Listening& listening) {
  SocketAddress address;
  getsockname(listening.sockets.front().get(), address.get(), &address.size);
  // IPv6 may be turned off, and then even its wildcard is IPv4.
  return IsWildcardV6(address) ? WildcardV4(address.port()) : address;
}

}  // namespace pixpool
