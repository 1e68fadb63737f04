// conv_pool: which filter, and does it fit.
#include "server/base/text.h"
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
      return WindowError(spec, "bundle_filter",
                         Concat("filter '", name, "' was trained for layer '", filter.layer,
                                "', not '", spec.layer, "'"));
    }
    const std::vector<int64_t> kernel(filter.kernel_size.begin(), filter.kernel_size.end());
    if (spec.Has("kernel_size") && spec.Ints("kernel_size") != kernel) {
      return WindowError(spec, "kernel_size",
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
  return WindowError(spec, "bundle_filter",
                     known.empty()
                         ? Concat("there is no filter '", name, "'; the model has none")
                         : Concat("there is no filter '", name, "'; the model has ", known));
}

}  // namespace

absl::Status CheckConvPool(HeadSpec& spec, const HeadScope& scope) {
  const bool mean = spec.Has("mean_filter");
  if (mean == spec.Has("bundle_filter")) {
    return WindowError(spec, "filter", "exactly one of mean_filter and bundle_filter must be set");
  }
  if (!mean) return UseFilter(spec, scope);
  if (!spec.Bool("mean_filter")) {
    return WindowError(spec, "mean_filter", "must be true where it is set");
  }
  if (!spec.Has("kernel_size")) {
    return WindowError(spec, "kernel_size", "is required with the mean filter");
  }
  return CheckWindow(spec, scope);
}

int64_t ConvPoolValueCount(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  return WindowValueCount(spec, spec.filter_index < 0 ? c : spec.output_channels, h, w);
}

double ConvPoolOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  // Of a grouped filter this counts too much: at most as much as an ungrouped one would do.
  const double outputs = spec.filter_index < 0 ? 1 : static_cast<double>(spec.output_channels);
  return WindowOperations(spec, c, h, w) * outputs;
}

}  // namespace pixpool
