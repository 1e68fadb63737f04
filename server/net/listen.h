#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/net/descriptor.h"
#include "server/net/socket_address.h"

namespace pixpool {

// Sockets that listen on each address of "host:port", and the port, which is one for all also where
// 0 was asked for. Not blocking, closed on exec, and not shared with another process. What they
// accept has no delay (TCP_NODELAY), and is given up 10 s after data went unacknowledged.
struct Listening {
  std::vector<Descriptor> sockets;
  int port = 0;
};

// Fails with the system's words where no address can be bound. Where a name has several, those
// that can be bound are enough.
absl::StatusOr<Listening> ListenOn(const std::string& host_port);

// Whether this machine alone reaches them.
bool OnLoopback(const Listening& listening);

// The address at which this host reaches them.
SocketAddress ProbeAddress(const Listening& listening);

}  // namespace pixpool
