// avg_max: half the mean plus half the maximum.
#include <ATen/core/Tensor.h>

#include "server/heads/kind.h"

namespace pixpool {
namespace {

HeadTensors Compute(const HeadSpec&, const HeadInput& input) {
  return {.values = input.shared.Mean().mul(0.5).add_(input.shared.Max(), 0.5)};
}

}  // namespace

HeadType AvgMaxHead() {
  return {
      .description = "Half the mean plus half the maximum.",
      .use = "a compromise between average and max without parameters",
      .shape = "C",
      .output = HeadOutputKind::kVector,
      .value_count = OnePerChannel,
      .compute = Compute,
  };
}

}  // namespace pixpool
