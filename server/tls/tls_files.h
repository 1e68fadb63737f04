#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/tls/options.h"

namespace pixpool {

// What stands in the files of TLS. A plain value.
struct TlsFiles {
  std::string certificate;  // the chain
  std::string key;
  std::string client_ca;  // empty: clients need no certificate

  bool operator==(const TlsFiles&) const = default;
};

// Reads all that `options` name. Errors name the option, the file and the cause.
absl::StatusOr<TlsFiles> ReadTlsFiles(const TlsOptions& options);

}  // namespace pixpool
