// From a request to a plan of its work and what that costs. Everything that can be known before
// admission is settled here: no pixel is decoded and nothing is queued for a request that fails.
#pragma once

#include <cstdint>
#include <limits>

#include "absl/status/statusor.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/options.h"
#include "server/pipeline/work.h"

namespace pixpool {

// Checks work->request against model and limits and fills in the plan, the heads with their space
// ids and one ImageState per image; an image that fails alone has its status there. Gives what the
// good images cost. Errors of the whole request: LIMIT_EXCEEDED, REQUEST_INVALID, HEAD_INVALID,
// LAYER_NOT_FOUND, with field paths. No pass may take more memory than `most_pass_bytes`.
absl::StatusOr<AdmissionCost> PlanRequest(
    const PipelineOptions& options, RequestWork* work,
    int64_t most_pass_bytes = std::numeric_limits<int64_t>::max());

}  // namespace pixpool
