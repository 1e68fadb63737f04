// The life of the process, from a valid configuration to its exit code.
#pragma once

#include <string>
#include <vector>

#include "server/config/config.h"

namespace pixpool {

// Listens, loads the models, serves until SIGTERM or SIGINT, drains. Returns the exit code: 0 after
// a drain that finished all admitted work, 1 for anything that keeps the server from serving (with
// one clear line on standard error) or a drain that ran out of time. At a second signal, and where
// calls or the load of a model hang beyond that time, the process ends with 1 at once and does not
// return; the log's last line says why. `warnings` of the configuration go into the log. Call from
// the main thread, before any other thread exists.
int Serve(const Config& config, const std::vector<std::string>& warnings);

}  // namespace pixpool
