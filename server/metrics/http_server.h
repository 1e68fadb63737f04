#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace pixpool {

// What the HTTP endpoint serves.
struct HttpHandlers {
  std::function<std::string()> metrics;  // body of GET /metrics
  // GET /livez and /readyz: 200 "ok", or 503 "not live: MESSAGE" and "not ready: MESSAGE". The
  // message goes to whoever asks.
  std::function<absl::Status()> live;
  std::function<absl::Status()> ready;
};

// A small HTTP/1.1 server for scrapes and probes, on its own two threads, never on those of the
// request path.
//
// GET and HEAD of /metrics, /livez, /readyz; else 404, or 405 for other methods. At most 64
// connections at a time (further ones are closed at once), 8 KiB of header, 5 s a request, 5 s of
// idle keep-alive. The destructor closes everything and joins.
class HttpServer {
 public:
  virtual ~HttpServer() = default;
  virtual int port() const = 0;  // the bound port, also where 0 was asked for
};

// Listens on "host:port" (IPv6 in brackets). UNAVAILABLE with one clear line where the address
// cannot be bound, INVALID_ARGUMENT where it is none.
absl::StatusOr<std::unique_ptr<HttpServer>> StartHttpServer(const std::string& address,
                                                            HttpHandlers handlers);

}  // namespace pixpool
