// Heads on tensors. For files of server/model that include torch anyway.
#pragma once

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "server/model/heads.h"

namespace pixpool {

// The classifier as data, on the model's device.
struct ClassifierTensors {
  at::Tensor weight;  // float32 [classes, channels]
  at::Tensor bias;    // float32 [classes]
};

// What a head is applied to.
struct HeadInput {
  const at::Tensor& map;                          // float32 [N, C, H, W]
  const ClassifierTensors* classifier = nullptr;  // null where there is none
};

// What a head gives for a batch.
struct HeadTensors {
  at::Tensor values;   // [N, ...]; for scores [N, classes], all of them
  at::Tensor indices;  // int64 [N, ...] or undefined
};

// Applies a head to a batch of maps and brings the result to the CPU, contiguous. Errors:
// HEAD_INVALID where the map is too small for the head, INFERENCE_FAILED for anything that torch
// throws.
absl::StatusOr<HeadTensors> ComputeHead(const HeadSpec& spec, const HeadInput& input);

// The result of row `row` of what ComputeHead gave.
HeadOutput TakeRow(const HeadSpec& spec, const HeadTensors& tensors, int64_t row);

}  // namespace pixpool
