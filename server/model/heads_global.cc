// Heads over the whole map, and those that read it as it is.
#include <ATen/core/Tensor.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/frexp.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ldexp.h>
#include <ATen/ops/log.h>
#include <ATen/ops/log1p.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <tuple>

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

// `peak` where it is finite, else `other`: what is taken out of a sum so that it cannot overflow. A
// map that holds infinities or NaN goes through as it is, and torch's rules decide.
at::Tensor FiniteOr(const at::Tensor& peak, double other) {
  return at::where(at::isfinite(peak), peak, other);
}

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
  const at::Tensor peak = FiniteOr(lifted.amax({2, 3}, /*keepdim=*/true), 1);
  const at::Tensor ratio = lifted.div(peak);
  at::Tensor mean;
  if (p >= kSmallExponent) {
    mean = Mean(ratio.pow(p)).pow(1 / p);
  } else {
    mean = Mean(ratio.log().mul(p).expm1()).log1p().div(p).exp();
  }
  return {mean.mul(peak.flatten(1)), {}};
}

HeadTensors ComputeLse(const HeadSpec& spec, const HeadInput& input) {
  const double r = spec.Float("r");
  const at::Tensor peak = FiniteOr(input.map.amax({2, 3}, /*keepdim=*/true), 0);
  const at::Tensor below = input.map.sub(peak).mul(r);
  // exp(r x) of small values is 1 but for the last digits, where all there is to know lies; expm1
  // keeps it. Where the mean of exp is small itself, expm1 would lose it.
  const at::Tensor small = Mean(below.expm1());
  const at::Tensor mean = at::where(small.gt(-0.5), small.log1p(), Mean(below.exp()).log());
  return {mean.div(r).add(peak.flatten(1)), {}};
}

HeadTensors ComputeLp(const HeadSpec& spec, const HeadInput& input) {
  const double p = spec.Float("p");
  // No power overflows once the map is scaled; by a power of two, so that nothing is rounded and
  // whole numbers stay whole.
  const at::Tensor peak = FiniteOr(input.map.abs().amax({2, 3}, /*keepdim=*/true), 1);
  const at::Tensor exponent = std::get<1>(at::frexp(peak)).sub(1);
  const at::Tensor scale = at::ldexp(at::ones_like(peak), exponent);
  const at::Tensor sum = input.map.div(scale).pow(p).sum({2, 3});
  return {sum.pow(1 / p).mul(scale.flatten(1)), {}};
}

HeadTensors ComputeFeatureMap(const HeadSpec&, const HeadInput& input) { return {input.map, {}}; }

}  // namespace pixpool
