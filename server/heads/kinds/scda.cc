// scda: the largest part that responds above average, alone.
#include <ATen/core/Tensor.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <vector>

#include "server/heads/kind.h"
#include "server/image/components.h"

namespace pixpool {
namespace {

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

HeadTensors Compute(const HeadSpec&, const HeadInput& input) {
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

}  // namespace

HeadType ScdaHead() {
  return {
      .description = "Mean and maximum of the largest connected part that responds above average.",
      .use = "one object before a calm background",
      .reference = "Wei, Luo, Wu, Zhou, \"Selective Convolutional Descriptor Aggregation\", 2017",
      .shape = "2C",
      .output = HeadOutputKind::kVector,
      .value_count = TwoPerChannel,
      .compute = Compute,
  };
}

}  // namespace pixpool
