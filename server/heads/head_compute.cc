#include "server/heads/head_compute.h"

#include <ATen/ops/amax.h>
#include <ATen/ops/mean.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <exception>
#include <numeric>
#include <utility>

#include "server/base/error.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

// The best `top_k` of a row of scores, ties in class order; all in class order for 0.
std::vector<ClassScore> TopScores(absl::Span<const float> scores, int64_t top_k) {
  std::vector<int> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  if (top_k > 0) {
    const size_t count = std::min<size_t>(top_k, order.size());
    std::partial_sort(
        order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
        [&](int a, int b) { return scores[a] != scores[b] ? scores[a] > scores[b] : a < b; });
    order.resize(count);
  }
  std::vector<ClassScore> result;
  result.reserve(order.size());
  for (int index : order) result.push_back({index, scores[index]});
  return result;
}

}  // namespace

const at::Tensor& MapStatistics::Mean() {
  if (!mean_.defined()) mean_ = map_.mean({2, 3});
  return mean_;
}

const at::Tensor& MapStatistics::Max() {
  if (!max_.defined()) max_ = map_.amax({2, 3});
  return max_;
}

absl::StatusOr<HeadTensors> ComputeHead(const HeadSpec& spec, const HeadInput& input) {
  if (input.map().defined()) {
    PIXPOOL_RETURN_IF_ERROR(CheckHeadOnMap(spec, input.map().size(2), input.map().size(3)));
  }
  try {
    const c10::InferenceMode inference;
    HeadTensors result = spec.type->compute(spec, input);
    for (at::Tensor* tensor :
         {&result.values, &result.indices, &result.classes, &result.probabilities}) {
      // Contiguous first: the rows of a channels-last map lie in another order.
      if (tensor->defined()) *tensor = tensor->contiguous().cpu();
    }
    return result;
  } catch (const std::exception& e) {
    Log(LogLevel::kError, "head_failed",
        {{"head", spec.canonical}, {"error", FirstLine(e.what())}});
    return MakeError(ErrorReason::kInferenceFailed, "a head failed");
  }
}

HeadOutput TakeRow(const HeadSpec& spec, const HeadTensors& tensors, int64_t row) {
  HeadOutput output;
  const int64_t count = tensors.values.numel() / tensors.values.size(0);
  const float* values = tensors.values.const_data_ptr<float>() + row * count;
  if (spec.output() == HeadOutputKind::kScores) {
    output.scores = TopScores({values, static_cast<size_t>(count)}, spec.Int("top_k"));
    output.shape = {static_cast<int64_t>(output.scores.size())};
    return output;
  }
  if (tensors.classes.defined()) {
    output.scores = {{static_cast<int>(tensors.classes.const_data_ptr<int64_t>()[row]),
                      tensors.probabilities.const_data_ptr<float>()[row]}};
  }
  output.shape.assign(tensors.values.sizes().begin() + 1, tensors.values.sizes().end());
  output.values.assign(values, values + count);
  if (tensors.indices.defined()) {
    const int64_t* indices = tensors.indices.const_data_ptr<int64_t>() + row * count;
    output.indices.assign(indices, indices + count);
  }
  return output;
}

}  // namespace pixpool
