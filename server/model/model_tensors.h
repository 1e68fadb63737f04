// The data of a bundle that heads compute with, as tensors. For files of server/model that include
// torch anyway.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/bundle/manifest.h"
#include "server/heads/head_compute.h"

namespace pixpool {

// Reads classifier and filters of a bundle onto a device. FAILED_PRECONDITION where a file does not
// fit. May throw what torch throws.
absl::StatusOr<ModelTensors> LoadModelTensors(const Bundle& bundle, const std::string& device);

}  // namespace pixpool
