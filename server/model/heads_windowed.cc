// Heads that slide a window or lay a grid over the map.
#include <ATen/core/Tensor.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/adaptive_max_pool2d.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/max_pool2d_with_indices.h>

#include <optional>
#include <tuple>

#include "server/model/head_compute.h"
#include "server/model/head_ops.h"

namespace pixpool {

HeadTensors ComputeAdaptiveAvg(const HeadSpec& spec, const HeadInput& input) {
  return {at::adaptive_avg_pool2d(input.map, spec.Ints("output_size")), {}};
}

HeadTensors ComputeAdaptiveMax(const HeadSpec& spec, const HeadInput& input) {
  auto [values, indices] = at::adaptive_max_pool2d(input.map, spec.Ints("output_size"));
  if (!spec.Bool("return_indices")) return {values, {}};
  return {values, indices};
}

HeadTensors ComputeMaxPool(const HeadSpec& spec, const HeadInput& input) {
  auto [values, indices] = at::max_pool2d_with_indices(
      input.map, spec.Ints("kernel_size"), spec.Ints("stride"), spec.Ints("padding"),
      spec.Ints("dilation"), spec.Bool("ceil_mode"));
  if (!spec.Bool("return_indices")) return {values, {}};
  return {values, indices};
}

HeadTensors ComputeAvgPool(const HeadSpec& spec, const HeadInput& input) {
  std::optional<int64_t> divisor;
  if (spec.Has("divisor_override")) divisor = spec.Int("divisor_override");
  return {
      at::avg_pool2d(input.map, spec.Ints("kernel_size"), spec.Ints("stride"), spec.Ints("padding"),
                     spec.Bool("ceil_mode"), spec.Bool("count_include_pad"), divisor),
      {}};
}

}  // namespace pixpool
