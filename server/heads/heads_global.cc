// Heads over the whole map, and those that read it as it is.
#include <ATen/core/Tensor.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/exp2.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/floor.h>
#include <ATen/ops/log.h>
#include <ATen/ops/log1p.h>
#include <ATen/ops/log2.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <limits>

#include "server/heads/head_compute.h"
#include "server/heads/head_ops.h"

namespace pixpool {
namespace {

// Below this exponent pow() loses the digits that the root needs; the other form keeps them.
constexpr double kSmallExponent = 0.5;
// An exponent this small gives the geometric mean, the limit, to within float32.
constexpr double kMinExponent = 1e-6;

constexpr double kLargest = std::numeric_limits<float>::max();
constexpr double kSmallest = std::numeric_limits<float>::denorm_min();
constexpr double kLargestPower = 0x1p127;

at::Tensor Mean(const at::Tensor& map) { return map.mean({2, 3}); }

// Made to spread over the map [N, C, H, W].
at::Tensor OverMap(const at::Tensor& vector) { return vector.unsqueeze(2).unsqueeze(3); }

}  // namespace

// Few operations and few copies of the map: each costs more than its arithmetic, since the backbone
// has just emptied the caches. Peaks are taken out of sums so that no power overflows; an infinite
// peak counts as the largest number, and infinities then go through as torch's rules have it.

HeadTensors ComputeGlobalAvg(const HeadSpec&, const HeadInput& input) {
  return {.values = input.shared.Mean()};
}

HeadTensors ComputeGlobalMax(const HeadSpec&, const HeadInput& input) {
  return {.values = input.shared.Max()};
}

HeadTensors ComputeAvgMax(const HeadSpec&, const HeadInput& input) {
  return {.values = input.shared.Mean().mul(0.5).add_(input.shared.Max(), 0.5)};
}

HeadTensors ComputeCatAvgMax(const HeadSpec&, const HeadInput& input) {
  return {.values = at::cat({input.shared.Mean(), input.shared.Max()}, 1)};
}

HeadTensors ComputeGem(const HeadSpec& spec, const HeadInput& input) {
  const double p = std::max(spec.Float("p"), kMinExponent);
  const double eps = spec.Float("eps");
  const at::Tensor peak = input.shared.Max().clamp(eps, kLargest);  // 6^50 is beyond float32
  at::Tensor ratio = input.map().clamp_min(eps).div_(OverMap(peak));
  at::Tensor mean;
  if (p >= kSmallExponent) {
    mean = Mean(ratio.pow_(p)).pow_(1 / p);
  } else {
    mean = Mean(ratio.log_().mul_(p).expm1_()).log1p_().div_(p).exp_();
  }
  return {.values = mean.mul_(peak)};
}

HeadTensors ComputeLse(const HeadSpec& spec, const HeadInput& input) {
  const double r = spec.Float("r");
  const at::Tensor peak = input.shared.Max().clamp(-kLargest, kLargest);
  at::Tensor below = input.map().sub(OverMap(peak)).mul_(r);
  // exp(r x) of small values is 1 but for the last digits, where all there is to know lies; expm1
  // keeps it. Where the mean of exp is small itself, expm1 would lose it.
  const at::Tensor small = Mean(below.expm1());
  const at::Tensor large = Mean(below.exp_()).log_();
  return {.values = at::where(small.gt(-0.5), small.log1p(), large).div_(r).add_(peak)};
}

HeadTensors ComputeLp(const HeadSpec& spec, const HeadInput& input) {
  const double p = spec.Float("p");
  // The map is scaled by a power of two, so that nothing is rounded and whole numbers stay whole.
  const at::Tensor scale =
      input.map().abs().amax({2, 3}).clamp_(kSmallest, kLargestPower).log2_().floor_().exp2_();
  const at::Tensor sum = input.map().div(OverMap(scale)).pow_(p).sum({2, 3});
  return {.values = sum.pow(1 / p).mul_(scale)};
}

HeadTensors ComputeFeatureMap(const HeadSpec&, const HeadInput& input) {
  return {.values = input.map()};
}

}  // namespace pixpool
