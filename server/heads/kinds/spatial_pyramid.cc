// spatial_pyramid: grids of several sizes as one vector.
#include <ATen/core/Tensor.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/adaptive_max_pool2d.h>
#include <ATen/ops/cat.h>

#include <tuple>
#include <vector>

#include "server/heads/grid.h"
#include "server/heads/kind.h"

namespace pixpool {
namespace {

int64_t ValueCount(const HeadSpec& spec, int64_t c, int64_t, int64_t) {
  int64_t cells = 0;
  for (const int64_t n : spec.Ints("levels")) cells += n * n;
  return c * cells;
}

double Operations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  double reads = 0;
  for (const int64_t n : spec.Ints("levels")) reads += GridReads(c, h, w, n, n);
  return reads;
}

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  const bool average = spec.Enum("pooling") == "avg";
  std::vector<at::Tensor> levels;
  for (const int64_t n : spec.Ints("levels")) {
    const at::Tensor grid = average ? at::adaptive_avg_pool2d(input.map(), {n, n})
                                    : std::get<0>(at::adaptive_max_pool2d(input.map(), {n, n}));
    levels.push_back(grid.contiguous().flatten(1));
  }
  return {.values = at::cat(levels, 1)};
}

}  // namespace

HeadType SpatialPyramidHead() {
  return {
      .description = "Adaptive grids n x n of several sizes, one after another.",
      .use = "layout: grids of several sizes as one vector",
      .reference = "He et al., \"Spatial Pyramid Pooling\", 2014",
      .shape = "C x sum of n^2",
      .output = HeadOutputKind::kVector,
      .params = {Levels("levels", "sides n of the grids, in the order of the result", "1x2x4", 32,
                        8),
                 Enum("pooling", "pooling within a cell", "max", "avg|max")},
      .value_count = ValueCount,
      .compute = Compute,
      .operations = Operations,
      .cost = kGridCost,
  };
}

}  // namespace pixpool
