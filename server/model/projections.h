// The projections of a bundle, each held against the head that it was fitted on.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/bundle/manifest.h"
#include "server/heads/postprocess.h"

namespace pixpool {

// Reads all projections of the bundle. FAILED_PRECONDITION where a file does not fit or the head
// that it was fitted on is none of the layer's.
absl::StatusOr<std::vector<std::shared_ptr<const Projection>>> ReadProjections(
    const Bundle& bundle);

}  // namespace pixpool
