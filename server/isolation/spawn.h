// Starts the process of a worker. Internal to server/isolation.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace pixpool {

struct SpawnedWorker {
  pid_t pid = 0;
  int channel = -1;  // the server's end, which the caller owns
};

// Runs `program` with a channel and the descriptor `shared`, and with nothing else of this process.
// UNAVAILABLE where it cannot be run.
absl::StatusOr<SpawnedWorker> SpawnWorker(const std::string& program, int64_t memory, int shared);

// The program of the workers of this process: pixpool-decode-worker beside its own. Empty where
// /proc does not say.
std::string WorkerProgram();

}  // namespace pixpool
