// Heads that slide a window or lay a grid over the map.
#include <ATen/core/Tensor.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/adaptive_max_pool2d.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/full.h>
#include <ATen/ops/max_pool2d_with_indices.h>
#include <ATen/ops/max_unpool2d.h>
#include <ATen/ops/relu.h>

#include <optional>
#include <tuple>
#include <vector>

#include "server/heads/head_compute.h"
#include "server/heads/head_ops.h"
#include "server/heads/windows.h"

namespace pixpool {

HeadTensors ComputeAdaptiveAvg(const HeadSpec& spec, const HeadInput& input) {
  return {at::adaptive_avg_pool2d(input.map(), spec.Ints("output_size")), {}};
}

HeadTensors ComputeAdaptiveMax(const HeadSpec& spec, const HeadInput& input) {
  auto [values, indices] = at::adaptive_max_pool2d(input.map(), spec.Ints("output_size"));
  if (!spec.Bool("return_indices")) return {values, {}};
  return {values, indices};
}

HeadTensors ComputeMaxPool(const HeadSpec& spec, const HeadInput& input) {
  auto [values, indices] = at::max_pool2d_with_indices(
      input.map(), spec.Ints("kernel_size"), spec.Ints("stride"), spec.Ints("padding"),
      spec.Ints("dilation"), spec.Bool("ceil_mode"));
  if (!spec.Bool("return_indices")) return {values, {}};
  return {values, indices};
}

HeadTensors ComputeAvgPool(const HeadSpec& spec, const HeadInput& input) {
  std::optional<int64_t> divisor;
  if (spec.Has("divisor_override")) divisor = spec.Int("divisor_override");
  return {at::avg_pool2d(input.map(), spec.Ints("kernel_size"), spec.Ints("stride"),
                         spec.Ints("padding"), spec.Bool("ceil_mode"),
                         spec.Bool("count_include_pad"), divisor),
          {}};
}

HeadTensors ComputeMaxUnpool(const HeadSpec& spec, const HeadInput& input) {
  const std::vector<int64_t> size = UnpooledSize(spec, input.map().size(2), input.map().size(3));
  if (spec.given_indices) return {at::max_unpool2d(input.map(), *input.indices, size), {}};
  const auto [values, indices] =
      at::max_pool2d_with_indices(input.map(), spec.Ints("kernel_size"), spec.Ints("stride"),
                                  spec.Ints("padding"), {1, 1}, spec.Bool("ceil_mode"));
  return {at::max_unpool2d(values, indices, size), {}};
}

HeadTensors ComputeConvPool(const HeadSpec& spec, const HeadInput& input) {
  const std::vector<int64_t>& kernel = spec.Ints("kernel_size");
  const std::vector<int64_t>& stride = spec.Ints("stride");
  at::Tensor result;
  if (spec.filter_index < 0) {
    const int64_t channels = input.map().size(1);
    const double mean = 1.0 / static_cast<double>(kernel[0] * kernel[1]);
    const at::Tensor weight =
        at::full({channels, 1, kernel[0], kernel[1]}, mean, input.map().options());
    result = at::conv2d(input.map(), weight, {}, stride, at::IntArrayRef{0, 0},
                        at::IntArrayRef{1, 1}, channels);
  } else {
    const FilterTensors& filter = input.model->filters[static_cast<size_t>(spec.filter_index)];
    result = at::conv2d(input.map(), filter.weight, filter.bias, stride, at::IntArrayRef{0, 0},
                        at::IntArrayRef{1, 1}, filter.groups);
  }
  return {spec.Bool("relu") ? at::relu(result) : result, {}};
}

}  // namespace pixpool
