#include "server/model/head_compute.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <exception>
#include <numeric>
#include <utility>

#include "server/base/error.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/model/head_runner.h"
#include "server/model/torch_env.h"

namespace pixpool {
namespace {

constexpr double kMinNorm = 1e-12;  // as torch.nn.functional.normalize

at::Tensor Normalized(const at::Tensor& values) {
  const at::Tensor flat = values.flatten(1);
  const at::Tensor norm = at::linalg_vector_norm(flat, 2, at::IntArrayRef{1}, /*keepdim=*/true);
  return flat.div(norm.clamp_min(kMinNorm)).view(values.sizes());
}

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

absl::StatusOr<HeadTensors> ComputeHead(const HeadSpec& spec, const HeadInput& input) {
  PIXPOOL_RETURN_IF_ERROR(CheckHeadOnMap(spec, input.map.size(2), input.map.size(3)));
  try {
    const c10::InferenceMode inference;
    HeadTensors result = FindHeadType(spec.kind)->compute(spec, input);
    // Contiguous first: the rows of a channels-last map flatten in another order.
    result.values = result.values.contiguous();
    if (spec.l2_normalized) result.values = Normalized(result.values);
    result.values = result.values.cpu();
    if (result.indices.defined()) result.indices = result.indices.contiguous().cpu();
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
  if (spec.output == HeadOutputKind::kScores) {
    output.scores = TopScores({values, static_cast<size_t>(count)}, spec.Int("top_k"));
    output.shape = {static_cast<int64_t>(output.scores.size())};
    return output;
  }
  output.shape.assign(tensors.values.sizes().begin() + 1, tensors.values.sizes().end());
  output.values.assign(values, values + count);
  if (tensors.indices.defined()) {
    const int64_t* indices = tensors.indices.const_data_ptr<int64_t>() + row * count;
    output.indices.assign(indices, indices + count);
  }
  return output;
}

absl::StatusOr<HeadOutput> ApplyHead(const HeadSpec& spec, absl::Span<const float> map, int64_t c,
                                     int64_t h, int64_t w) {
  if (c < 1 || h < 1 || w < 1 || static_cast<int64_t>(map.size()) != c * h * w) {
    return MakeError(ErrorReason::kRequestInvalid,
                     "the map's values are not as many as its shape says, or it has none");
  }
  if (spec.output == HeadOutputKind::kScores) {
    return MakeError(ErrorReason::kHeadInvalid, "class scores need a model with a classifier");
  }
  // from_blob takes a mutable pointer, but no head writes to its input.
  const at::Tensor tensor =
      at::from_blob(const_cast<float*>(map.data()), {1, c, h, w}, at::TensorOptions(at::kFloat));
  PIXPOOL_ASSIGN_OR_RETURN(const HeadTensors result, ComputeHead(spec, HeadInput{tensor}));
  return TakeRow(spec, result, 0);
}

}  // namespace pixpool
