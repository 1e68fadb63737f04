// Batches as tensors: pictures in, heads out. For files of server/model that include torch anyway.
#pragma once

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/heads/head_compute.h"
#include "server/model/model.h"

namespace pixpool {

// The inputs of a batch as one uint8 tensor [N, H, W, 3], which must not outlive them: a
// picture alone is not copied. INTERNAL where the pictures are not all there and of one size. May
// throw what torch throws.
absl::StatusOr<at::Tensor> StackInputs(absl::Span<const ModelTask> tasks);

// Applies to each image of a batch the heads it asked for. Heads that are the same for several
// images are computed once for all of them. `outputs` are those of the backbone; those that no head
// reads may be undefined. An error of a head goes to the images that wanted it, with the field
// "heads[i]..." of its place in the task.
void RunHeads(absl::Span<const at::Tensor> outputs, const ModelTensors& model,
              absl::Span<const LayerInfo> layers, absl::Span<const ModelTask> tasks,
              absl::Span<ModelResult> results);

}  // namespace pixpool
