#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <vector>

#include "server/net/socket_address.h"

namespace pixpool {

// Knows which connections still live that were handed to somebody who closes them without a word,
// as gRPC does. A socket has an inode for as long as it is open, and no two have the same: if its
// descriptor's number leads to another one, or nowhere, the connection is over. Not thread-safe.
class ConnectionTable {
 public:
  // `peer` is given to `closed`; nullopt for connections that nobody counts.
  using Closed = std::function<void(PeerKey peer)>;
  explicit ConnectionTable(Closed closed) : closed_(std::move(closed)) {}

  // Call while the descriptor is still owned by the caller. What had its number before is over.
  void Add(int fd, std::optional<PeerKey> peer);

  // Calls `closed` for each that is over. Takes about 0.3 us a connection.
  void Sweep();

 private:
  struct Connection {
    ino_t inode = 0;  // 0: none
    std::optional<PeerKey> peer;
  };
  void Remove(Connection* connection);

  const Closed closed_;
  std::vector<Connection> connections_;  // by descriptor
};

}  // namespace pixpool
