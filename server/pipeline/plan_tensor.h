// What can be settled before a tensor is admitted to be pooled: its heads, and what they cost.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "server/pipeline/admission.h"
#include "server/pipeline/options.h"
#include "server/pipeline/request.h"

namespace pixpool {

// Checks shape, values, heads and limits of a request and gives its validated heads. Errors:
// REQUEST_INVALID ("tensor.shape", "tensor.values", "indices", "heads"), HEAD_INVALID
// ("heads[i]..."), LIMIT_EXCEEDED. What depends on the indices' values is checked by PoolMaps. Sets
// `cost` to the bytes of the tensor and of the answer, which can be far larger.
absl::StatusOr<std::vector<HeadSpec>> PlanTensor(const PipelineOptions& options,
                                                 const PoolRequest& request, AdmissionCost* cost);

}  // namespace pixpool
