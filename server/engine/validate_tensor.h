// Everything that is checked before a tensor is admitted to be pooled.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "server/engine/engine.h"

namespace pixpool {

// Checks shape, values, heads and limits of a request and gives its validated heads. Errors:
// REQUEST_INVALID ("tensor.shape", "tensor.values", "indices", "heads"), HEAD_INVALID
// ("heads[i]..."), LIMIT_EXCEEDED. What depends on the indices' values is checked by PoolMaps. Sets
// `cost` to the bytes of the tensor and of the answer, which can be far larger.
absl::StatusOr<std::vector<HeadSpec>> ValidateTensor(const EngineOptions& options,
                                                     const PoolRequest& request,
                                                     AdmissionCost* cost);

}  // namespace pixpool
