// adaptive_avg: torch.nn.AdaptiveAvgPool2d.
#include <ATen/core/Tensor.h>
#include <ATen/ops/adaptive_avg_pool2d.h>

#include "server/heads/grid.h"
#include "server/heads/kind.h"

namespace pixpool {
namespace {

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  return {at::adaptive_avg_pool2d(input.map(), spec.Ints("output_size")), {}};
}

}  // namespace

HeadType AdaptiveAvgHead() {
  return {
      .description = "Mean over a grid of near-equal windows, as torch.nn.AdaptiveAvgPool2d.",
      .use = "a coarse grid of averages that keeps some layout",
      .reference = "torch.nn.AdaptiveAvgPool2d",
      .shape = "C x oH x oW",
      .output = HeadOutputKind::kMap,
      .params = {Sides("output_size", "height and width of the grid, one value or two", "", 1,
                       kMaxWindow, /*required=*/true)},
      .value_count = GridValueCount,
      .compute = Compute,
      .operations = GridOperations,
      .cost = kGridCost,
  };
}

}  // namespace pixpool
