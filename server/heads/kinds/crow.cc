// crow: weighted by where much responds and by how rarely a channel does.
#include <ATen/core/Tensor.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/log.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sign.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>

#include <limits>
#include <string>

#include "server/heads/kind.h"

namespace pixpool {
namespace {

constexpr double kSmallest = std::numeric_limits<float>::denorm_min();

std::string Negatives(const HeadSpec&) {
  return "counts a cell whose channels sum up to less than 0 as 0";
}

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  const at::Tensor& map = input.map();
  const double a = spec.Float("a");
  // Spatial weights, (s / |s|_a)^(1/b). The peak is taken out, so that no power overflows; an empty
  // map divides 0 by the smallest number.
  const at::Tensor sums = map.sum(1, /*keepdim=*/true).clamp_min_(0);
  const at::Tensor ratio = sums.div(sums.amax({2, 3}, /*keepdim=*/true).clamp_min_(kSmallest));
  const at::Tensor norm =
      ratio.pow(a).sum({2, 3}, /*keepdim=*/true).pow_(1 / a).clamp_min_(kSmallest);
  const at::Tensor spatial = ratio.div(norm).pow_(1 / spec.Float("b"));
  // Channel weights, log(sum of Q / Q_k): rare channels count more, those without a value nothing.
  const at::Tensor count = map.sign().abs_().sum({2, 3});
  const at::Tensor rarity = count.sum(1, /*keepdim=*/true).div(count).log_();
  const at::Tensor channel = at::where(count.eq(0), 0.0, rarity);
  return {.values = map.mul(spatial).sum({2, 3}).mul_(channel)};
}

}  // namespace

HeadType CrowHead() {
  return {
      .description = "Sum weighted by where much responds and by how rarely a channel does.",
      .use = "landmarks and products too, with rare channels up and common ones down",
      .reference =
          "Kalantidis, Mellina, Osindero, \"Cross-dimensional Weighting for Aggregated Deep "
          "Convolutional Features\", 2016",
      .shape = "C",
      .output = HeadOutputKind::kVector,
      .params = {Positive("a", "norm of the spatial weights", "2", 100),
                 Positive("b", "root of the spatial weights", "2", 100)},
      .value_count = OnePerChannel,
      .compute = Compute,
      .negatives = Negatives,
  };
}

}  // namespace pixpool
