// Vector heads for which it matters where on the map a value stands.
#include <ATen/core/Tensor.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/adaptive_max_pool2d.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp_min.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/log.h>
#include <ATen/ops/max_pool2d_with_indices.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/sign.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "server/heads/head_compute.h"
#include "server/heads/head_ops.h"
#include "server/heads/regions.h"
#include "server/image/components.h"

namespace pixpool {
namespace {

constexpr double kRmacEps = 1e-6;  // cirtorch adds it to the norm
constexpr double kSmallest = std::numeric_limits<float>::denorm_min();

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

// Mean and maximum of one map [C, H, W] over the cells that SCDA keeps, [2C]. `above`: the cells
// whose sum over channels is above its mean.
at::Tensor PoolComponent(const at::Tensor& map, absl::Span<const uint8_t> above) {
  const auto height = static_cast<int>(map.size(1));
  const auto width = static_cast<int>(map.size(2));
  Component component = LargestComponent(above, height, width);
  std::sort(component.cells.begin(), component.cells.end());
  at::Tensor cells = map.permute({1, 2, 0}).reshape({map.size(1) * map.size(2), map.size(0)});
  // A constant map has nothing above its mean; all of it is kept then.
  if (!component.cells.empty()) {
    const at::Tensor kept = at::tensor(component.cells, at::TensorOptions(at::kInt));
    cells = cells.index_select(0, kept.to(map.device()));
  }
  return at::cat({cells.mean(at::IntArrayRef{0}), cells.amax(0)});
}

// exp(-d^2 / (2 sigma^2)) of each cell's distance from the middle of the map, [h, w].
at::Tensor GaussianWeights(int64_t h, int64_t w, double sigma) {
  at::Tensor weights = at::empty({h, w}, at::TensorOptions(at::kFloat));
  float* to = weights.mutable_data_ptr<float>();
  for (int64_t y = 0; y < h; ++y) {
    for (int64_t x = 0; x < w; ++x) {
      const double dy = static_cast<double>(y) - static_cast<double>(h - 1) / 2;
      const double dx = static_cast<double>(x) - static_cast<double>(w - 1) / 2;
      *to++ = static_cast<float>(std::exp((dy * dy + dx * dx) / (-2 * sigma * sigma)));
    }
  }
  return weights;
}

}  // namespace

HeadTensors ComputeRmac(const HeadSpec& spec, const HeadInput& input) {
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

HeadTensors ComputeCrow(const HeadSpec& spec, const HeadInput& input) {
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

HeadTensors ComputeSpoc(const HeadSpec& spec, const HeadInput& input) {
  const at::Tensor& map = input.map();
  const int64_t h = map.size(2);
  const int64_t w = map.size(3);
  const double sigma =
      spec.Has("sigma") ? spec.Float("sigma") : static_cast<double>(std::min(h, w)) / 6;
  const at::Tensor weights = GaussianWeights(h, w, sigma).to(map.device());
  return {.values = map.mul(weights).sum({2, 3})};
}

HeadTensors ComputeScda(const HeadSpec&, const HeadInput& input) {
  const at::Tensor& map = input.map();
  const at::Tensor sums = map.sum(1);
  const at::Tensor mean = sums.mean(at::IntArrayRef{1, 2}, /*keepdim=*/true);
  const at::Tensor above = sums.gt(mean).to(at::kByte).cpu().contiguous();
  const auto cells = static_cast<size_t>(map.size(2) * map.size(3));
  std::vector<at::Tensor> rows;
  for (int64_t n = 0; n < map.size(0); ++n) {
    const uint8_t* mask = above.const_data_ptr<uint8_t>() + static_cast<size_t>(n) * cells;
    rows.push_back(PoolComponent(map.select(0, n), {mask, cells}));
  }
  return {.values = at::stack(rows)};
}

HeadTensors ComputeSpatialPyramid(const HeadSpec& spec, const HeadInput& input) {
  const bool average = spec.Enum("pooling") == "avg";
  std::vector<at::Tensor> levels;
  for (const int64_t n : spec.Ints("levels")) {
    const at::Tensor grid = average ? at::adaptive_avg_pool2d(input.map(), {n, n})
                                    : std::get<0>(at::adaptive_max_pool2d(input.map(), {n, n}));
    levels.push_back(grid.contiguous().flatten(1));
  }
  return {.values = at::cat(levels, 1)};
}

}  // namespace pixpool
