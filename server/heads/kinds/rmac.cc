// rmac: regional maxima, summed.
#include <ATen/core/Tensor.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/max_pool2d_with_indices.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>

#include <tuple>
#include <vector>

#include "server/heads/kind.h"
#include "server/heads/regions.h"

namespace pixpool {
namespace {

constexpr double kRmacEps = 1e-6;  // cirtorch adds it to the norm

// The distance of equally spaced starts; 0 where they are not.
int64_t StepOf(const std::vector<int64_t>& starts) {
  if (starts.size() == 1) return 1;
  const int64_t step = starts[1] - starts[0];
  for (size_t i = 1; i < starts.size(); ++i) {
    if (starts[i] - starts[i - 1] != step) return 0;
  }
  return step;
}

// The maxima of one level's squares, [R, N, C] in their order.
at::Tensor LevelMaxima(const at::Tensor& map, const RmacLevel& level) {
  const int64_t side = level.side;
  const int64_t step_y = StepOf(level.rows);
  const int64_t step_x = StepOf(level.columns);
  if (step_y > 0 && step_x > 0) {
    // One pooling in place of many slices; what it gives beyond the last start is left out.
    const at::Tensor grid = std::get<0>(
        at::max_pool2d_with_indices(map, {side, side}, {step_y, step_x}, {0, 0}, {1, 1}, false));
    return grid.narrow(2, 0, static_cast<int64_t>(level.rows.size()))
        .narrow(3, 0, static_cast<int64_t>(level.columns.size()))
        .flatten(2)
        .permute({2, 0, 1});
  }
  std::vector<at::Tensor> maxima;
  for (const int64_t y : level.rows) {
    for (const int64_t x : level.columns) {
      maxima.push_back(map.narrow(2, y, side).narrow(3, x, side).amax({2, 3}));
    }
  }
  return at::stack(maxima);
}

double Operations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  double cells = static_cast<double>(h) * static_cast<double>(w);
  for (const Region& r : RmacRegions(h, w, spec.Int("levels"), spec.Float("overlap"))) {
    cells += static_cast<double>(r.width) * r.height;
  }
  return cells * static_cast<double>(c);
}

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  const at::Tensor& map = input.map();
  std::vector<at::Tensor> levels = {input.shared.Max().unsqueeze(0)};
  for (const RmacLevel& level :
       RmacLevels(map.size(2), map.size(3), spec.Int("levels"), spec.Float("overlap"))) {
    levels.push_back(LevelMaxima(map, level));
  }
  const at::Tensor all = at::cat(levels);  // [R, N, C]
  const at::Tensor norm = at::linalg_vector_norm(all, 2, at::IntArrayRef{2}, /*keepdim=*/true);
  return {.values = all.div(norm.add_(kRmacEps)).sum(0)};
}

}  // namespace

HeadType RmacHead() {
  return {
      .description = "Sum of the L2-normalised maxima of square regions on a grid of scales.",
      .use = "landmarks, products, logos: the maxima of regions, summed",
      .reference =
          "Tolias, Sicre, Jegou, \"Particular object retrieval with integral max-pooling of CNN "
          "activations\", 2015",
      .shape = "C",
      .output = HeadOutputKind::kVector,
      .params = {Int("levels", "number of scales", "3", 1, 8),
                 AtLeast("overlap", "wanted overlap of neighbouring regions", "0.4", 0, 1,
                         /*max_open=*/true)},
      .value_count = OnePerChannel,
      .compute = Compute,
      .operations = Operations,
      .cost = "every region's cells once",
  };
}

}  // namespace pixpool
