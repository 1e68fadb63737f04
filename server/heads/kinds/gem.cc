// gem: the generalised mean.
#include <ATen/core/Tensor.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/log.h>
#include <ATen/ops/log1p.h>
#include <ATen/ops/pow.h>

#include <algorithm>

#include "server/base/text.h"
#include "server/heads/head_params.h"
#include "server/heads/kind.h"

namespace pixpool {
namespace {

// Below this exponent pow() loses the digits that the root needs; the other form keeps them.
constexpr double kSmallExponent = 0.5;
// An exponent this small gives the geometric mean, the limit, to within float32.
constexpr double kMinExponent = 1e-6;

std::string Negatives(const HeadSpec& spec) {
  return Concat("lifts them to eps (", ParamText(spec.params.at("eps")), ")");
}

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  const double p = std::max(spec.Float("p"), kMinExponent);
  const double eps = spec.Float("eps");
  const at::Tensor peak = input.shared.Max().clamp(eps, kLargest);  // 6^50 is beyond float32
  at::Tensor ratio = input.map().clamp_min(eps).div_(SpreadOverMap(peak));
  at::Tensor mean;
  if (p >= kSmallExponent) {
    mean = MapMean(ratio.pow_(p)).pow_(1 / p);
  } else {
    mean = MapMean(ratio.log_().mul_(p).expm1_()).log1p_().div_(p).exp_();
  }
  return {.values = mean.mul_(peak)};
}

}  // namespace

HeadType GemHead() {
  return {
      .description = "Generalised mean, (mean(max(x, eps)^p))^(1/p).",
      .use = "image search: `p` moves it from average to max",
      .reference =
          "Radenovic, Tolias, Chum, \"Fine-tuning CNN Image Retrieval with No Human Annotation\", "
          "2018",
      .shape = "C",
      .output = HeadOutputKind::kVector,
      .params = {Positive(
                     "p",
                     "exponent: 1 is the average of a non-negative map, a large one the maximum",
                     "3", 100),
                 Positive("eps", "lower bound of the values", "1e-6", 1)},
      .value_count = OnePerChannel,
      .compute = Compute,
      .negatives = Negatives,
  };
}

}  // namespace pixpool
