// What callers and the log are told of models that are not there. Internal to server/repository.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "server/repository/options.h"

namespace pixpool {

// MODEL_NOT_FOUND.
absl::Status UnknownModel(const std::string& name);

// NOT_FOUND with what the folder is instead, and what to pass or how to make a model.
absl::Status NoModelIn(const RepositoryOptions& options);

// DRAINING.
absl::Status LoadsNoMore();

}  // namespace pixpool
