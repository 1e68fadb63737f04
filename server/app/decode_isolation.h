// Where pictures are decoded: in workers, or in the server.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "server/isolation/decode_workers.h"
#include "server/isolation/options.h"
#include "server/metrics/metrics.h"

namespace pixpool {

// Starts `count` workers, as far as the system allows what the option asks for, and says in the log
// what came of it. `memory` is what all processes may use. Null where the server decodes itself.
// FAILED_PRECONDITION where the option requires what the system does not allow.
absl::StatusOr<std::unique_ptr<DecodeWorkers>> StartDecodeWorkers(const IsolationOptions& options,
                                                                  int count, int64_t memory,
                                                                  Metrics* metrics);

}  // namespace pixpool
