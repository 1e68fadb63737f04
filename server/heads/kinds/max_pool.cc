// max_pool: torch.nn.MaxPool2d.
#include <ATen/core/Tensor.h>
#include <ATen/ops/max_pool2d_with_indices.h>

#include <array>
#include <tuple>

#include "server/base/text.h"
#include "server/heads/kind.h"
#include "server/heads/windows.h"

namespace pixpool {
namespace {

// A window that lies wholly in the padding has -infinity as its maximum, which has no L2 norm.
absl::Status CheckMap(const HeadSpec& spec, int64_t h, int64_t w) {
  if (absl::Status status = CheckWindowOnMap(spec, h, w); !status.ok()) return status;
  if (!spec.post.l2_normalized) return absl::OkStatus();
  const std::array<int64_t, 2> sides = {h, w};
  for (int axis = 0; axis < 2; ++axis) {
    if (WindowOf(spec, axis).AllWindowsTouch(sides[axis])) continue;
    return BadParameter(
        spec, "dilation",
        Concat("windows lie wholly in the padding for a map's ", kAxisNames[axis], " of ",
               sides[axis], ", so their maximum is -infinity, which has no L2 norm"));
  }
  return absl::OkStatus();
}

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  auto [values, indices] = at::max_pool2d_with_indices(
      input.map(), spec.Ints("kernel_size"), spec.Ints("stride"), spec.Ints("padding"),
      spec.Ints("dilation"), spec.Bool("ceil_mode"));
  if (!spec.Bool("return_indices")) return {values, {}};
  return {values, indices};
}

}  // namespace

HeadType MaxPoolHead() {
  return {
      .description = "Windowed maximum, as torch.nn.MaxPool2d.",
      .use = "`torch.nn.MaxPool2d`, parameter for parameter",
      .reference = "torch.nn.MaxPool2d",
      .shape = "C x oH x oW",
      .output = HeadOutputKind::kMap,
      .params =
          {Sides("kernel_size", "window, one value or two", "", 1, kMaxWindow, /*required=*/true),
           Derived(Sides("stride", "step, one value or two", "", 1, kMaxWindow), "kernel_size"),
           Sides("padding", "padding on both sides, one value or two; at most half the kernel", "0",
                 0, kMaxWindow / 2),
           Sides("dilation", "distance of neighbouring window elements, one value or two", "1", 1,
                 kMaxWindow),
           Flag("ceil_mode", "whether the output size is rounded up", "false"),
           Flag("return_indices", "whether the positions of the maxima are returned", "false",
                /*in_space=*/false)},
      .check = CheckWindow,
      .check_map = CheckMap,
      .value_count = WindowValueCount,
      .compute = Compute,
      .operations = WindowOperations,
      .cost = kWindowCost,
  };
}

}  // namespace pixpool
