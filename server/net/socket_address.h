// Addresses of sockets: where to listen, and who is at the other end.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace pixpool {

// An address as the kernel takes it. A plain value.
struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }

  bool is_unix() const { return storage.ss_family == AF_UNIX; }
  // 0 of a Unix socket.
  int port() const;
  void set_port(int port);
};

// Who counts as one: an IPv4 address, also where it came mapped into IPv6, or the /64 of an IPv6
// address, since that much belongs to one subscriber.
using PeerKey = uint64_t;
// All who come by a Unix socket; no address of the network has it. Limits on an address are not
// for them: this machine's own processes are told apart by who may open the socket.
inline constexpr PeerKey kUnixPeer = ~PeerKey{0};
PeerKey PeerKeyOf(const SocketAddress& address);

// Whether two addresses are of the same host, whatever their ports.
bool SameHost(const SocketAddress& a, const SocketAddress& b);

// Whether it is of this machine alone.
bool IsLoopback(const SocketAddress& address);

// What "host:port" stands for; names may be several addresses. Either wildcard, 0.0.0.0 and [::],
// is that of IPv6 with IPv4 mapped into it. Blocks while a name is looked up.
absl::StatusOr<std::vector<SocketAddress>> Resolve(const std::string& host_port);

// The wildcard of IPv4, for machines without IPv6.
SocketAddress WildcardV4(int port);
bool IsWildcardV6(const SocketAddress& address);

}  // namespace pixpool
