// lse: log-sum-exp, between mean and maximum.
#include <ATen/core/Tensor.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/log.h>
#include <ATen/ops/log1p.h>
#include <ATen/ops/where.h>

#include "server/heads/kind.h"

namespace pixpool {
namespace {

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  const double r = spec.Float("r");
  const at::Tensor peak = input.shared.Max().clamp(-kLargest, kLargest);
  at::Tensor below = input.map().sub(SpreadOverMap(peak)).mul_(r);
  // exp(r x) of small values is 1 but for the last digits, where all there is to know lies; expm1
  // keeps it. Where the mean of exp is small itself, expm1 would lose it.
  const at::Tensor small = MapMean(below.expm1());
  const at::Tensor large = MapMean(below.exp_()).log_();
  return {.values = at::where(small.gt(-0.5), small.log1p(), large).div_(r).add_(peak)};
}

}  // namespace

HeadType LseHead() {
  return {
      .description = "Log-sum-exp, log(mean(exp(r x))) / r: between mean and maximum.",
      .use = "a max that also counts the runners-up",
      .reference =
          "Pinheiro, Collobert, \"From Image-level to Pixel-level Labeling with Convolutional "
          "Networks\", 2015",
      .shape = "C",
      .output = HeadOutputKind::kVector,
      .params = {Positive("r", "sharpness: small is near the average, large near the maximum", "10",
                          1000)},
      .value_count = OnePerChannel,
      .compute = Compute,
  };
}

}  // namespace pixpool
