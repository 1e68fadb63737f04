// TLS to a collector, by OpenSSL. Internal to server/tracing.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/tracing/settings.h"

// OpenSSL's SSL_CTX and SSL.
struct ssl_ctx_st;
struct ssl_st;

namespace pixpool {

struct FreeTlsContext {
  void operator()(ssl_ctx_st* context) const;
};
using TlsContext = std::unique_ptr<ssl_ctx_st, FreeTlsContext>;

// For a new connection, from what the files hold now. Errors name the variable, the file and the
// cause.
absl::StatusOr<TlsContext> NewTlsContext(const CollectorTls& tls);

// From here on the handshake fails unless the other end is `host`, a name or an address.
absl::Status ExpectHost(ssl_st* connection, const std::string& host);

// Why the certificate of the other end was not taken; empty where it was, or there was none.
std::string WhyNotTrusted(ssl_st* connection);

}  // namespace pixpool
