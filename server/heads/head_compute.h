// Heads on tensors. For files that include torch anyway.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/heads/heads.h"

namespace pixpool {

// The classifier as data, on the model's device.
struct ClassifierTensors {
  at::Tensor weight;  // float32 [classes, channels]
  at::Tensor bias;    // float32 [classes]
};

// A convolution filter as data, on the model's device.
struct FilterTensors {
  at::Tensor weight;  // float32 [outputs, channels / groups, height, width]
  at::Tensor bias;    // float32 [outputs], or undefined
  int64_t groups = 1;
};

// What heads read besides the map.
struct ModelTensors {
  std::optional<ClassifierTensors> classifier;
  std::vector<FilterTensors> filters;  // in the order of HeadScope::filters
};

// What several heads on the same maps have in common, computed when first asked for. Of no use
// where the map is undefined. For one thread.
class MapStatistics {
 public:
  explicit MapStatistics(at::Tensor map) : map_(std::move(map)) {}

  const at::Tensor& map() const { return map_; }
  const at::Tensor& Mean();  // [N, C]
  const at::Tensor& Max();   // [N, C]

 private:
  const at::Tensor map_;
  at::Tensor mean_;
  at::Tensor max_;
};

// What a head is applied to.
struct HeadInput {
  MapStatistics& shared;                // of map
  const ModelTensors* model = nullptr;  // null where there is none
  const at::Tensor* indices = nullptr;  // int64 as map; for max_unpool with given_indices
  at::Tensor prefix_tokens;             // float32 [N, P, C], for heads that read them
  at::Tensor vector;                    // float32 [N, D], likewise

  // float32 [N, C, H, W]; undefined for heads that read tokens or a vector alone.
  const at::Tensor& map() const { return shared.map(); }
};

// What a head gives for a batch.
struct HeadTensors {
  at::Tensor values;   // [N, ...]; for scores [N, classes], all of them
  at::Tensor indices;  // int64 [N, ...] or undefined
  // Of class_activation_map: the class of each map, int64 [N], and its probability, float32 [N].
  at::Tensor classes;
  at::Tensor probabilities;
};

// Applies a head, without its post-processing, to a batch of maps and brings the result to the CPU,
// contiguous. Errors: HEAD_INVALID where the map is too small for the head, INFERENCE_FAILED for
// anything that torch throws.
absl::StatusOr<HeadTensors> ComputeHead(const HeadSpec& spec, const HeadInput& input);

// The result of row `row` of what ComputeHead gave, before post-processing.
HeadOutput TakeRow(const HeadSpec& spec, const HeadTensors& tensors, int64_t row);

}  // namespace pixpool
