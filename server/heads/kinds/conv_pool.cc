// conv_pool: a strided convolution, with the mean filter or one of the bundle.
#include <ATen/core/Tensor.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/full.h>
#include <ATen/ops/relu.h>

#include <vector>

#include "server/base/text.h"
#include "server/heads/kind.h"
#include "server/heads/windows.h"

namespace pixpool {
namespace {

absl::Status UseFilter(HeadSpec& spec, const HeadScope& scope) {
  const std::string& name = spec.Text("bundle_filter");
  std::string known;
  for (size_t i = 0; i < scope.filters.size(); ++i) {
    const FilterInfo& filter = scope.filters[i];
    known += Concat(known.empty() ? "" : ", ", filter.name);
    if (filter.name != name) continue;
    if (filter.layer != spec.layer) {
      return BadParameter(spec, "bundle_filter",
                          Concat("filter '", name, "' was trained for layer '", filter.layer,
                                 "', not '", spec.layer, "'"));
    }
    const std::vector<int64_t> kernel(filter.kernel_size.begin(), filter.kernel_size.end());
    if (spec.Has("kernel_size") && spec.Ints("kernel_size") != kernel) {
      return BadParameter(spec, "kernel_size",
                          Concat("must be that of filter '", name, "', ", kernel[0], "x", kernel[1],
                                 ", or be left out"));
    }
    spec.params["kernel_size"] = kernel;
    if (!spec.Has("stride")) {
      spec.params["stride"] = std::vector<int64_t>(filter.stride.begin(), filter.stride.end());
    }
    spec.filter_index = static_cast<int>(i);
    spec.output_channels = filter.output_channels;
    return absl::OkStatus();
  }
  return BadParameter(spec, "bundle_filter",
                      known.empty()
                          ? Concat("there is no filter '", name, "'; the model has none")
                          : Concat("there is no filter '", name, "'; the model has ", known));
}

absl::Status Check(HeadSpec& spec, const HeadScope& scope) {
  const bool mean = spec.Has("mean_filter");
  if (mean == spec.Has("bundle_filter")) {
    return BadParameter(spec, "filter", "exactly one of mean_filter and bundle_filter must be set");
  }
  if (!mean) return UseFilter(spec, scope);
  if (!spec.Bool("mean_filter")) {
    return BadParameter(spec, "mean_filter", "must be true where it is set");
  }
  if (!spec.Has("kernel_size")) {
    return BadParameter(spec, "kernel_size", "is required with the mean filter");
  }
  return CheckWindow(spec, scope);
}

int64_t ValueCount(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  return WindowValueCount(spec, spec.filter_index < 0 ? c : spec.output_channels, h, w);
}

double Operations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  // Of a grouped filter this counts too much: at most as much as an ungrouped one would do.
  const double outputs = spec.filter_index < 0 ? 1 : static_cast<double>(spec.output_channels);
  return WindowOperations(spec, c, h, w) * outputs;
}

HeadTensors Compute(const HeadSpec& spec, const HeadInput& input) {
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

}  // namespace

HeadType ConvPoolHead() {
  return {
      .description = "A strided convolution in place of pooling: mean filter or a trained one.",
      .use = "a trained convolution in place of pooling",
      .reference =
          "Springenberg et al., \"Striving for Simplicity: The All Convolutional Net\", 2015",
      .shape = "C' x oH x oW",
      .output = HeadOutputKind::kMap,
      .params = {Derived(
                     Sides("kernel_size", "window, one value or two; required with the mean filter",
                           "", 1, kMaxWindow),
                     "the filter's own"),
                 Derived(Sides("stride", "step, one value or two", "", 1, kMaxWindow),
                         "the filter's own, else kernel_size"),
                 Flag("mean_filter",
                      "the mean filter, which makes it avg_pool; this or bundle_filter", ""),
                 Text("bundle_filter", "name of a filter of the bundle", /*in_space=*/false),
                 Flag("relu", "whether negative results become 0", "false")},
      .check = Check,
      .check_map = CheckWindowOnMap,
      .value_count = ValueCount,
      .compute = Compute,
      .operations = Operations,
      .cost = "every window's cells once per output channel",
  };
}

}  // namespace pixpool
