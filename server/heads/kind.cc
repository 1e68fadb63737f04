#include "server/heads/kind.h"

#include <ATen/ops/mean.h>

#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {

ParamSpec Flag(std::string_view name, std::string_view help, std::string_view default_value,
               bool in_space) {
  return {.name = name,
          .type = ParamType::kBool,
          .help = help,
          .default_value = default_value,
          .in_space = in_space};
}

ParamSpec Int(std::string_view name, std::string_view help, std::string_view default_value,
              double min, double max, bool in_space) {
  return {.name = name,
          .type = ParamType::kInt,
          .help = help,
          .default_value = default_value,
          .min = min,
          .max = max,
          .in_space = in_space};
}

ParamSpec Positive(std::string_view name, std::string_view help, std::string_view default_value,
                   double max) {
  return {.name = name,
          .type = ParamType::kFloat,
          .help = help,
          .default_value = default_value,
          .max = max,
          .min_open = true};
}

ParamSpec AtLeast(std::string_view name, std::string_view help, std::string_view default_value,
                  double min, double max, bool max_open) {
  return {.name = name,
          .type = ParamType::kFloat,
          .help = help,
          .default_value = default_value,
          .min = min,
          .max = max,
          .max_open = max_open};
}

ParamSpec Sides(std::string_view name, std::string_view help, std::string_view default_value,
                double min, double max, bool required) {
  return {.name = name,
          .type = ParamType::kIntList,
          .help = help,
          .default_value = default_value,
          .required = required,
          .min = min,
          .max = max};
}

ParamSpec Levels(std::string_view name, std::string_view help, std::string_view default_value,
                 double max, size_t max_entries) {
  ParamSpec param = Sides(name, help, default_value, 1, max);
  param.max_entries = max_entries;
  return param;
}

ParamSpec Enum(std::string_view name, std::string_view help, std::string_view default_value,
               std::string_view values, bool in_space) {
  return {.name = name,
          .type = ParamType::kEnum,
          .help = help,
          .default_value = default_value,
          .enum_values = values,
          .in_space = in_space};
}

ParamSpec Text(std::string_view name, std::string_view help, bool in_space) {
  return {.name = name, .type = ParamType::kText, .help = help, .in_space = in_space};
}

ParamSpec Derived(ParamSpec param, std::string_view rule) {
  param.default_rule = rule;
  return param;
}

absl::Status BadParameter(const HeadSpec& spec, std::string_view param, std::string_view what) {
  ErrorDetails details;
  details.reason = ErrorReason::kHeadInvalid;
  details.field = Concat(spec.kind(), ".", param);
  return MakeError(details, Concat(details.field, ": ", what));
}

int64_t OnePerChannel(const HeadSpec&, int64_t c, int64_t, int64_t) { return c; }

int64_t TwoPerChannel(const HeadSpec&, int64_t c, int64_t, int64_t) { return 2 * c; }

int64_t WholeMap(const HeadSpec&, int64_t c, int64_t h, int64_t w) { return c * h * w; }

at::Tensor MapMean(const at::Tensor& map) { return map.mean({2, 3}); }

at::Tensor SpreadOverMap(const at::Tensor& vector) { return vector.unsqueeze(2).unsqueeze(3); }

}  // namespace pixpool
