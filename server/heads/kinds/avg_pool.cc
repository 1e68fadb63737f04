// avg_pool: torch.nn.AvgPool2d.
#include <ATen/core/Tensor.h>
#include <ATen/ops/avg_pool2d.h>

#include <optional>
#include <vector>

#include "server/heads/kind.h"
#include "server/heads/windows.h"

namespace pixpool {
namespace {

absl::Status Check(HeadSpec& spec, const HeadScope& scope) {
  if (absl::Status status = CheckWindow(spec, scope); !status.ok()) return status;
  if (spec.Has("divisor_override") && spec.Int("divisor_override") == 0) {
    return BadParameter(spec, "divisor_override", "must not be 0");
  }
  // Without padding, or with a divisor of its own, it changes nothing; one text for one space.
  const std::vector<int64_t>& padding = spec.Ints("padding");
  const bool matters = !spec.Has("divisor_override") && (padding[0] > 0 || padding[1] > 0);
  if (!matters) spec.params["count_include_pad"] = true;
  return absl::OkStatus();
}

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
  std::optional<int64_t> divisor;
  if (spec.Has("divisor_override")) divisor = spec.Int("divisor_override");
  return {at::avg_pool2d(input.map(), spec.Ints("kernel_size"), spec.Ints("stride"),
                         spec.Ints("padding"), spec.Bool("ceil_mode"),
                         spec.Bool("count_include_pad"), divisor),
          {}};
}

}  // namespace

HeadType AvgPoolHead() {
  return {
      .description = "Windowed mean, as torch.nn.AvgPool2d.",
      .use = "`torch.nn.AvgPool2d`, parameter for parameter",
      .reference = "torch.nn.AvgPool2d",
      .shape = "C x oH x oW",
      .output = HeadOutputKind::kMap,
      .params =
          {Sides("kernel_size", "window, one value or two", "", 1, kMaxWindow, /*required=*/true),
           Derived(Sides("stride", "step, one value or two", "", 1, kMaxWindow), "kernel_size"),
           Sides("padding", "zero padding on both sides, one value or two; at most half the kernel",
                 "0", 0, kMaxWindow / 2),
           Flag("ceil_mode", "whether the output size is rounded up", "false"),
           Flag("count_include_pad", "whether padding counts in the divisor", "true"),
           Derived(Int("divisor_override", "divisor in place of the window's size; not 0", "",
                       INT32_MIN, INT32_MAX),
                   "the window's size")},
      .check = Check,
      .check_map = CheckWindowOnMap,
      .value_count = WindowValueCount,
      .compute = Compute,
      .operations = WindowOperations,
      .cost = kWindowCost,
  };
}

}  // namespace pixpool
