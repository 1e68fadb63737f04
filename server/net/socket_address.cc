#include "server/net/socket_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>
#include <optional>

#include "server/base/host_port.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

// sockaddr_storage may be read as what its family says.
const sockaddr_in* V4(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in*>(&address.storage);
}
const sockaddr_in6* V6(const SocketAddress& address) {
  return reinterpret_cast<const sockaddr_in6*>(&address.storage);
}

// The address as one of IPv6.
in6_addr Mapped(const SocketAddress& address) {
  if (address.storage.ss_family != AF_INET) return V6(address)->sin6_addr;
  in6_addr mapped = {};
  mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
  std::memcpy(&mapped.s6_addr[12], &V4(address)->sin_addr, 4);
  return mapped;
}

}  // namespace

int SocketAddress::port() const {
  if (is_unix()) return 0;
  return ntohs(storage.ss_family == AF_INET ? V4(*this)->sin_port : V6(*this)->sin6_port);
}

void SocketAddress::set_port(int port) {
  const in_port_t value = htons(static_cast<uint16_t>(port));
  if (storage.ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(&storage)->sin_port = value;
  } else {
    reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = value;
  }
}

PeerKey PeerKeyOf(const SocketAddress& address) {
  if (address.is_unix()) return kUnixPeer;
  const in6_addr a = Mapped(address);
  PeerKey key = 0;
  // A mapped address is told apart by its last eight bytes, which begin with 0000:ffff: no /64 that
  // is assigned to anybody does.
  std::memcpy(&key, &a.s6_addr[IN6_IS_ADDR_V4MAPPED(&a) ? 8 : 0], sizeof(key));
  return key;
}

bool SameHost(const SocketAddress& a, const SocketAddress& b) {
  const in6_addr left = Mapped(a);
  const in6_addr right = Mapped(b);
  return IN6_ARE_ADDR_EQUAL(&left, &right);
}

bool IsLoopback(const SocketAddress& address) {
  if (address.is_unix()) return true;
  const in6_addr a = Mapped(address);
  return IN6_IS_ADDR_V4MAPPED(&a) ? a.s6_addr[12] == IN_LOOPBACKNET : IN6_IS_ADDR_LOOPBACK(&a);
}

absl::StatusOr<std::vector<SocketAddress>> Resolve(const std::string& host_port) {
  const std::optional<HostPort> parts = ParseHostPort(host_port);
  if (!parts) {
    return absl::InvalidArgumentError(Concat("\"", host_port, "\" is not host:port"));
  }
  const bool wildcard = parts->host == "0.0.0.0" || parts->host == "::";
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(wildcard ? "::" : parts->host.c_str(),
                                std::to_string(parts->port).c_str(), &hints, &found);
  if (error != 0) return absl::NotFoundError(gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, &freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    if (a->ai_family != AF_INET && a->ai_family != AF_INET6) continue;
    SocketAddress& address = addresses.emplace_back();
    std::memcpy(&address.storage, a->ai_addr, a->ai_addrlen);
    address.size = a->ai_addrlen;
  }
  return addresses;
}

SocketAddress WildcardV4(int port) {
  SocketAddress address;
  address.storage.ss_family = AF_INET;
  address.size = sizeof(sockaddr_in);
  address.set_port(port);
  return address;
}

bool IsWildcardV6(const SocketAddress& address) {
  return address.storage.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&V6(address)->sin6_addr);
}

}  // namespace pixpool
