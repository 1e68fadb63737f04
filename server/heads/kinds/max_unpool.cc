// max_unpool: torch.nn.MaxUnpool2d, after the pooling that it undoes.
#include <ATen/core/Tensor.h>
#include <ATen/ops/max_pool2d_with_indices.h>
#include <ATen/ops/max_unpool2d.h>

#include <vector>

#include "server/heads/kind.h"
#include "server/heads/unpool.h"
#include "server/heads/windows.h"

namespace pixpool {
namespace {

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  const std::vector<int64_t> size = UnpooledSize(spec, input.map().size(2), input.map().size(3));
  if (spec.given_indices) return {at::max_unpool2d(input.map(), *input.indices, size), {}};
  const auto [values, indices] =
      at::max_pool2d_with_indices(input.map(), spec.Ints("kernel_size"), spec.Ints("stride"),
                                  spec.Ints("padding"), {1, 1}, spec.Bool("ceil_mode"));
  return {at::max_unpool2d(values, indices, size), {}};
}

}  // namespace

HeadType MaxUnpoolHead() {
  return {
      .description = "Max pooling undone, as torch.nn.MaxUnpool2d: the maxima in place, else 0.",
      .use = "`torch.nn.MaxUnpool2d`, parameter for parameter",
      .reference = "torch.nn.MaxUnpool2d",
      .shape = "C x oH x oW",
      .output = HeadOutputKind::kMap,
      .params =
          {Sides("kernel_size", "window, one value or two", "", 1, kMaxWindow, /*required=*/true),
           Derived(Sides("stride", "step, one value or two", "", 1, kMaxWindow), "kernel_size"),
           Sides("padding", "padding on both sides, one value or two; at most half the kernel", "0",
                 0, kMaxWindow / 2),
           Derived(Sides("output_size", "height and width of the output, one value or two", "", 1,
                         kMaxSide),
                   "torch's, (in - 1) * stride - 2 * padding + kernel"),
           Flag("ceil_mode", "whether the output size of the pooling is rounded up", "false")},
      .check = CheckUnpool,
      .check_map = CheckUnpoolOnMap,
      .value_count = UnpoolValueCount,
      .compute = Compute,
      .operations = WindowOperations,
      .cost = kWindowCost,
      .takes_indices = true,
  };
}

}  // namespace pixpool
