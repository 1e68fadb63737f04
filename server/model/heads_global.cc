// Heads over the whole map, and those that read it as it is.
#include <ATen/core/Tensor.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log.h>
#include <ATen/ops/log1p.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/softmax.h>

#include <algorithm>

#include "server/model/head_compute.h"
#include "server/model/head_ops.h"

namespace pixpool {
namespace {

// Below this exponent pow() loses the digits that the root needs; the other form keeps them.
constexpr double kSmallExponent = 0.5;
// An exponent this small gives the geometric mean, the limit, to within float32.
constexpr double kMinExponent = 1e-6;

at::Tensor Mean(const at::Tensor& map) { return map.mean({2, 3}); }
at::Tensor Max(const at::Tensor& map) { return map.amax({2, 3}); }

}  // namespace

HeadTensors ComputeGlobalAvg(const HeadSpec&, const HeadInput& input) {
  return {Mean(input.map), {}};
}

HeadTensors ComputeGlobalMax(const HeadSpec&, const HeadInput& input) {
  return {Max(input.map), {}};
}

HeadTensors ComputeAvgMax(const HeadSpec&, const HeadInput& input) {
  return {Mean(input.map).mul(0.5).add(Max(input.map).mul(0.5)), {}};
}

HeadTensors ComputeCatAvgMax(const HeadSpec&, const HeadInput& input) {
  return {at::cat({Mean(input.map), Max(input.map)}, 1), {}};
}

HeadTensors ComputeGem(const HeadSpec& spec, const HeadInput& input) {
  // The maximum is taken out, so that no power overflows: 6^50 is beyond float32.
  const double p = std::max(spec.Float("p"), kMinExponent);
  const at::Tensor lifted = input.map.clamp_min(spec.Float("eps"));
  const at::Tensor peak = lifted.amax({2, 3}, /*keepdim=*/true);
  const at::Tensor ratio = lifted.div(peak);
  at::Tensor mean;
  if (p >= kSmallExponent) {
    mean = Mean(ratio.pow(p)).pow(1 / p);
  } else {
    mean = Mean(ratio.log().mul(p).expm1()).log1p().div(p).exp();
  }
  return {mean.mul(peak.flatten(1)), {}};
}

HeadTensors ComputeFeatureMap(const HeadSpec&, const HeadInput& input) { return {input.map, {}}; }

HeadTensors ComputeClassScores(const HeadSpec& spec, const HeadInput& input) {
  // A linear layer over the mean is the mean of the 1x1 convolution, at a fraction of the work.
  at::Tensor scores = at::linear(Mean(input.map), input.classifier->weight, input.classifier->bias);
  if (spec.Enum("score_type") == "softmax") scores = scores.softmax(1);
  return {scores, {}};
}

}  // namespace pixpool
