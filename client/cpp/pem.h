// The files of TLS of a client. Internal: not part of the installed API.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/cpp/access.h"

namespace pixpool::client::internal {

// As they stand in the files; empty where none is named.
struct PemFiles {
  std::string ca;
  std::string client_cert;
  std::string client_key;
};

// Reads those that `access` names. Of files that cannot be used gRPC would only say that no
// connection comes about; here it is INVALID_ARGUMENT with option, file and cause.
absl::StatusOr<PemFiles> ReadPemFiles(const Access& access);

}  // namespace pixpool::client::internal
