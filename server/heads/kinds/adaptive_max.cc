// adaptive_max: torch.nn.AdaptiveMaxPool2d.
#include <ATen/core/Tensor.h>
#include <ATen/ops/adaptive_max_pool2d.h>

#include <tuple>

#include "server/heads/grid.h"
#include "server/heads/kind.h"

namespace pixpool {
namespace {

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  auto [values, indices] = at::adaptive_max_pool2d(input.map(), spec.Ints("output_size"));
  if (!spec.Bool("return_indices")) return {values, {}};
  return {values, indices};
}

}  // namespace

HeadType AdaptiveMaxHead() {
  return {
      .description = "Maximum over a grid of near-equal windows, as torch.nn.AdaptiveMaxPool2d.",
      .use = "a coarse grid of maxima that keeps some layout",
      .reference = "torch.nn.AdaptiveMaxPool2d",
      .shape = "C x oH x oW",
      .output = HeadOutputKind::kMap,
      .params = {Sides("output_size", "height and width of the grid, one value or two", "", 1,
                       kMaxWindow, /*required=*/true),
                 Flag("return_indices", "whether the positions of the maxima are returned", "false",
                      /*in_space=*/false)},
      .value_count = GridValueCount,
      .compute = Compute,
      .operations = GridOperations,
      .cost = kGridCost,
  };
}

}  // namespace pixpool
