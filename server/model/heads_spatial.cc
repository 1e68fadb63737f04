// Vector heads for which it matters where on the map a value stands.
#include <ATen/core/Tensor.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/adaptive_max_pool2d.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/count_nonzero.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/log.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "server/image/components.h"
#include "server/model/head_compute.h"
#include "server/model/head_ops.h"
#include "server/model/regions.h"

namespace pixpool {
namespace {

constexpr double kRmacEps = 1e-6;  // cirtorch adds it to the norm

// The mask of SCDA, float32 [N, 1, H, W] of ones and zeros.
at::Tensor ScdaMask(const at::Tensor& map) {
  const at::Tensor sums = map.sum(1);
  const at::Tensor mean = sums.mean(at::IntArrayRef{1, 2}, /*keepdim=*/true);
  const at::Tensor above = sums.gt(mean).to(at::kByte).cpu().contiguous();
  at::Tensor mask = at::empty(above.sizes(), at::TensorOptions(at::kFloat));
  const auto height = static_cast<int>(above.size(1));
  const auto width = static_cast<int>(above.size(2));
  const size_t cells = static_cast<size_t>(height) * static_cast<size_t>(width);
  for (int64_t n = 0; n < above.size(0); ++n) {
    const absl::Span<const uint8_t> row(above.const_data_ptr<uint8_t>() + n * cells, cells);
    const Component component = LargestComponent(row, height, width);
    float* to = mask.mutable_data_ptr<float>() + n * cells;
    // A constant map has nothing above its mean; all of it is kept then.
    std::fill_n(to, cells, component.cells.empty() ? 1.0f : 0.0f);
    for (const int cell : component.cells) to[cell] = 1;
  }
  return mask.unsqueeze(1).to(map.device());
}

// Squared distances of an axis' cells from its middle.
at::Tensor SquaredDistances(int64_t side, const at::TensorOptions& options) {
  return at::arange(side, options).sub(static_cast<double>(side - 1) / 2).pow(2);
}

}  // namespace

HeadTensors ComputeRmac(const HeadSpec& spec, const HeadInput& input) {
  const at::Tensor& map = input.map;
  std::vector<at::Tensor> maxima = {map.amax({2, 3})};
  for (const MapRegion& r :
       RmacRegions(map.size(2), map.size(3), spec.Int("levels"), spec.Float("overlap"))) {
    maxima.push_back(map.narrow(2, r.y, r.side).narrow(3, r.x, r.side).amax({2, 3}));
  }
  const at::Tensor all = at::stack(maxima);  // [R, N, C]
  const at::Tensor norm = at::linalg_vector_norm(all, 2, at::IntArrayRef{2}, /*keepdim=*/true);
  return {all.div(norm.add(kRmacEps)).sum(0), {}};
}

HeadTensors ComputeCrow(const HeadSpec& spec, const HeadInput& input) {
  const at::Tensor& map = input.map;
  const double a = spec.Float("a");
  // Spatial weights, (s / |s|_a)^(1/b). The peak is taken out, so that no power overflows.
  const at::Tensor sums = map.sum(1, /*keepdim=*/true).clamp_min(0);
  at::Tensor peak = sums.amax({2, 3}, /*keepdim=*/true);
  peak = at::where(peak.eq(0), 1.0, peak);
  const at::Tensor ratio = sums.div(peak);
  at::Tensor norm = ratio.pow(a).sum({2, 3}, /*keepdim=*/true).pow(1 / a);
  norm = at::where(norm.eq(0), 1.0, norm);
  const at::Tensor spatial = ratio.div(norm).pow(1 / spec.Float("b"));
  // Channel weights, log(sum of Q / Q_k): rare channels count more, those without a value nothing.
  const at::Tensor share =
      at::count_nonzero(map, at::IntArrayRef{2, 3}).to(at::kFloat).div(map.size(2) * map.size(3));
  const at::Tensor rarity = share.sum(1, /*keepdim=*/true).div(share).log();
  const at::Tensor channel = at::where(share.eq(0), 0.0, rarity);
  return {map.mul(spatial).sum({2, 3}).mul(channel), {}};
}

HeadTensors ComputeSpoc(const HeadSpec& spec, const HeadInput& input) {
  const at::Tensor& map = input.map;
  const int64_t h = map.size(2);
  const int64_t w = map.size(3);
  const double sigma =
      spec.Has("sigma") ? spec.Float("sigma") : static_cast<double>(std::min(h, w)) / 6;
  const at::TensorOptions options = map.options().dtype(at::kDouble);
  const at::Tensor distances =
      SquaredDistances(h, options).unsqueeze(1).add(SquaredDistances(w, options));
  const at::Tensor weights = distances.div(-2 * sigma * sigma).exp().to(at::kFloat);
  return {map.mul(weights).sum({2, 3}), {}};
}

HeadTensors ComputeScda(const HeadSpec&, const HeadInput& input) {
  const at::Tensor mask = ScdaMask(input.map);
  const at::Tensor kept = mask.ne(0);
  // Not a product: infinity times nothing would be NaN.
  const at::Tensor mean = at::where(kept, input.map, 0.0).sum({2, 3}).div(mask.sum({2, 3}));
  constexpr double kLowest = -std::numeric_limits<double>::infinity();
  return {at::cat({mean, at::where(kept, input.map, kLowest).amax({2, 3})}, 1), {}};
}

HeadTensors ComputeSpatialPyramid(const HeadSpec& spec, const HeadInput& input) {
  const bool average = spec.Enum("pooling") == "avg";
  std::vector<at::Tensor> levels;
  for (const int64_t n : spec.Ints("levels")) {
    const at::Tensor grid = average ? at::adaptive_avg_pool2d(input.map, {n, n})
                                    : std::get<0>(at::adaptive_max_pool2d(input.map, {n, n}));
    levels.push_back(grid.contiguous().flatten(1));
  }
  return {at::cat(levels, 1), {}};
}

}  // namespace pixpool
