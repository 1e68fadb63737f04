// lp: the power sum of torch.nn.LPPool2d.
#include <ATen/core/Tensor.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/exp2.h>
#include <ATen/ops/floor.h>
#include <ATen/ops/log2.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sum.h>

#include <cmath>
#include <limits>
#include <string>

#include "server/heads/kind.h"

namespace pixpool {
namespace {

constexpr double kSmallest = std::numeric_limits<float>::denorm_min();
constexpr double kLargestPower = 0x1p127;

std::string Negatives(const HeadSpec& spec) {
  const double p = spec.Float("p");
  if (p == std::floor(p / 2) * 2) return "";  // even: every power has a root
  return "gives NaN where the sum of their powers has no root; an even p has one";
}

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  const double p = spec.Float("p");
  // The map is scaled by a power of two, so that nothing is rounded and whole numbers stay whole.
  const at::Tensor scale =
      input.map().abs().amax({2, 3}).clamp_(kSmallest, kLargestPower).log2_().floor_().exp2_();
  const at::Tensor sum = input.map().div(SpreadOverMap(scale)).pow_(p).sum({2, 3});
  return {.values = sum.pow(1 / p).mul_(scale)};
}

}  // namespace

HeadType LpHead() {
  return {
      .description = "Power sum, (sum(x^p))^(1/p), as torch.nn.LPPool2d over the whole map.",
      .use = "the power sum of `torch.nn.LPPool2d`, which grows with the area",
      .reference = "torch.nn.LPPool2d",
      .shape = "C",
      .output = HeadOutputKind::kVector,
      .params = {AtLeast("p", "exponent", "2", 1, 100)},
      .value_count = OnePerChannel,
      .compute = Compute,
      .negatives = Negatives,
  };
}

}  // namespace pixpool
