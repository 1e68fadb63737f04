// Brings the models of a repository into the registry.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "server/metrics/metrics.h"
#include "server/model/model.h"
#include "server/pipeline/model_registry.h"

namespace pixpool {

// Enters every bundle under `models_dir` as loading. NOT_FOUND where there is none, with what to
// do.
absl::Status RegisterBundles(const std::string& models_dir, ModelRegistry* registry);

// Loads what is registered, one model after the other, each with its digests and golden picture
// checked; `ready` is called for each that serves. Goes on after a failure, so that all are
// reported. Blocks for seconds.
absl::Status LoadBundles(const std::string& models_dir, const ModelOptions& options,
                         const Machine& machine, ModelRegistry* registry, Metrics* metrics,
                         const std::function<void(const std::string& name)>& ready);

}  // namespace pixpool
