// What a graph gives, held against what the manifest says of it. For files of server/model that
// include torch anyway.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "server/model/model.h"

namespace pixpool {

// Whether the outputs at these positions have the form that everything after them counts on.
// FAILED_PRECONDITION names the first that has not. `inputs` is the batch, [N, H, W, 3].
absl::Status CheckOutputs(const ModelInfo& info, absl::Span<const at::Tensor> outputs,
                          const std::vector<int>& wanted, const at::Tensor& inputs);

// FAILED_PRECONDITION where one holds a value that is not finite, of a grey picture.
absl::Status CheckFinite(const ModelInfo& info, absl::Span<const at::Tensor> outputs);

}  // namespace pixpool
