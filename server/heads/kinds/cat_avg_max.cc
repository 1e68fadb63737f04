// cat_avg_max: mean and maximum side by side.
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>

#include "server/heads/kind.h"

namespace pixpool {
namespace {

HeadTensors Compute(const HeadSpec&, const HeadInput& input) {
  return {.values = at::cat({input.shared.Mean(), input.shared.Max()}, 1)};
}

}  // namespace

HeadType CatAvgMaxHead() {
  return {
      .description = "Mean and maximum side by side, mean first.",
      .use = "average and max side by side, for a learnt layer that weighs both",
      .shape = "2C",
      .output = HeadOutputKind::kVector,
      .value_count = TwoPerChannel,
      .compute = Compute,
  };
}

}  // namespace pixpool
