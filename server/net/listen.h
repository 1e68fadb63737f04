#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/listen_address.h"
#include "server/net/descriptor.h"
#include "server/net/socket_address.h"
#include "server/net/unix_socket.h"

namespace pixpool {

// Sockets that listen at one place: on each address of "host:port", by one port also where 0 was
// asked for, or at the path of a Unix socket, whose file goes with them. Not blocking, closed on
// exec, and not shared with another process. What TCP accepts has no delay (TCP_NODELAY), and is
// given up 10 s after data went unacknowledged.
struct Listening {
  std::vector<Descriptor> sockets;
  SocketFile file;
  int port = 0;      // 0: a Unix socket
  std::string text;  // the place as it was given, with the port that it got
};

// Fails with the system's words where no address can be bound. Where a name has several, those
// that can be bound are enough. `mode`: the permissions of a socket's file.
absl::StatusOr<Listening> ListenOn(const ListenAddress& where, mode_t mode);

// Whether this machine alone reaches them.
bool OnLoopback(const Listening& listening);

// The address at which this host reaches them.
SocketAddress ProbeAddress(const Listening& listening);

}  // namespace pixpool
