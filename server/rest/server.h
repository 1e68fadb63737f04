// The port of the HTTP API.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/rest/call.h"
#include "server/tls/tls_store.h"

namespace pixpool::rest {

struct ServerOptions {
  std::string listen;             // "host:port"
  const TlsStore* tls = nullptr;  // null: plain text
  int threads = 2;
  std::chrono::seconds max_connection_age{1800};
  int connection_rate = 500;  // new ones of an address a second
};

// Thread-safe.
class Server {
 public:
  virtual ~Server() = default;  // as Shutdown without grace

  virtual const std::string& address() const = 0;  // with the port taken where 0 was asked for

  // From here on every answer ends its connection, and so do those that are idle.
  virtual void BeginDrain() = 0;

  // Accepts no more, gives answers under way `grace`, then cancels their work, and blocks until all
  // connections have ended.
  virtual void Shutdown(absl::Duration grace) = 0;
};

// UNAVAILABLE with one clear line where the address cannot be bound. What `deps` and `options`
// point to must outlive the server.
absl::StatusOr<std::unique_ptr<Server>> StartServer(const ServerOptions& options,
                                                    const DoorDeps& deps);

}  // namespace pixpool::rest
