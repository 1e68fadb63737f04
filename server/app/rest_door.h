#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/config/config.h"
#include "server/pipeline/model_registry.h"
#include "server/rest/server.h"
#include "server/rpc/call.h"
#include "server/tls/tls_store.h"

namespace pixpool {

// Opens the port of the HTTP API as the options say, for calls that share `call` with those of
// gRPC; one that does nothing where there is to be none. `tls` may be null: plain text. What the
// arguments are or point to must outlive the server.
absl::StatusOr<std::unique_ptr<rest::Server>> StartRest(const Config& config, const CallDeps& call,
                                                        const ModelRegistry* registry,
                                                        const TlsStore* tls, int cores);

}  // namespace pixpool
