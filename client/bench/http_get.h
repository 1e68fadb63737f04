// Fetches a page over HTTP.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace pixpool::bench {

struct HttpUrl {
  std::string host;  // a name or an address, IPv6 without brackets; empty: none
  std::string port;
  std::string path;

  // "http://[::1]:8080/metrics"
  std::string Text() const;
};

// The body of the answer to a GET. Connecting, sending and receiving end within `timeout` together,
// however slowly the server sends; only the look-up of a name takes what the system's resolver
// takes. UNAVAILABLE where there is no answer in this time, it is not HTTP, its status is not 200
// or its body is longer than `max_bytes`. Redirections are not followed.
absl::StatusOr<std::string> HttpGet(const HttpUrl& url, absl::Duration timeout, size_t max_bytes);

}  // namespace pixpool::bench
