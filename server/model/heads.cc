#include "server/model/heads.h"

#include <algorithm>

#include "server/model/head_ops.h"
#include "server/model/windows.h"

namespace pixpool {
namespace {

int64_t OneAChannel(const HeadSpec&, int64_t c, int64_t, int64_t) { return c; }

int64_t TwoAChannel(const HeadSpec&, int64_t c, int64_t, int64_t) { return 2 * c; }

int64_t WholeMap(const HeadSpec&, int64_t c, int64_t h, int64_t w) { return c * h * w; }

int64_t Grid(const HeadSpec& spec, int64_t c, int64_t, int64_t) {
  const std::vector<int64_t>& size = spec.Ints("output_size");
  const bool indices = spec.Has("return_indices") && spec.Bool("return_indices");
  return c * size[0] * size[1] * (indices ? 2 : 1);
}

int64_t Scores(const HeadSpec& spec, int64_t, int64_t, int64_t) {
  const int64_t top_k = spec.Int("top_k");
  return top_k == 0 ? spec.class_count : std::min<int64_t>(top_k, spec.class_count);
}

ParamSpec Flag(std::string_view name, std::string_view default_value, bool in_space = true) {
  ParamSpec p{name, ParamType::kBool, default_value};
  p.in_space = in_space;
  return p;
}

ParamSpec Sides(std::string_view name, std::string_view default_value, double min, double max,
                bool required = false) {
  ParamSpec p{name, ParamType::kIntList, default_value, required};
  p.min = min;
  p.max = max;
  return p;
}

ParamSpec Int(std::string_view name, std::string_view default_value, double min, double max,
              bool in_space = true) {
  ParamSpec p{name, ParamType::kInt, default_value};
  p.min = min;
  p.max = max;
  p.in_space = in_space;
  return p;
}

// A float above 0, at most `max`.
ParamSpec Positive(std::string_view name, std::string_view default_value, double max) {
  ParamSpec p{name, ParamType::kFloat, default_value};
  p.max = max;
  p.min_open = true;
  return p;
}

ParamSpec Enum(std::string_view name, std::string_view default_value, std::string_view values) {
  ParamSpec p{name, ParamType::kEnum, default_value};
  p.enum_values = values;
  return p;
}

constexpr double kMaxWindow = 1024;

// The table of heads: validation, defaults, GetModel, metric labels and the table-driven test read
// it.
const std::vector<HeadType>& Table() {
  using enum HeadOutputKind;
  static const auto* const table = new std::vector<HeadType>{
      {.name = "global_avg",
       .description = "Mean over the whole map: global average pooling.",
       .output = kVector,
       .params = {},
       .value_count = OneAChannel,
       .compute = ComputeGlobalAvg},
      {.name = "global_max",
       .description = "Maximum over the whole map (MAC).",
       .output = kVector,
       .params = {},
       .value_count = OneAChannel,
       .compute = ComputeGlobalMax},
      {.name = "avg_max",
       .description = "Half the mean plus half the maximum.",
       .output = kVector,
       .params = {},
       .value_count = OneAChannel,
       .compute = ComputeAvgMax},
      {.name = "cat_avg_max",
       .description = "Mean and maximum side by side, mean first.",
       .output = kVector,
       .params = {},
       .value_count = TwoAChannel,
       .compute = ComputeCatAvgMax},
      {.name = "gem",
       .description = "Generalised mean, (mean(max(x, eps)^p))^(1/p).",
       .output = kVector,
       .params = {Positive("p", "3", 100), Positive("eps", "1e-6", 1)},
       .value_count = OneAChannel,
       .compute = ComputeGem,
       .loses_negatives = true},
      {.name = "adaptive_avg",
       .description = "Mean over a grid of near-equal windows, as torch.nn.AdaptiveAvgPool2d.",
       .output = kMap,
       .params = {Sides("output_size", "", 1, kMaxWindow, /*required=*/true)},
       .value_count = Grid,
       .compute = ComputeAdaptiveAvg},
      {.name = "adaptive_max",
       .description = "Maximum over a grid of near-equal windows, as torch.nn.AdaptiveMaxPool2d.",
       .output = kMap,
       .params = {Sides("output_size", "", 1, kMaxWindow, /*required=*/true),
                  Flag("return_indices", "false", /*in_space=*/false)},
       .value_count = Grid,
       .compute = ComputeAdaptiveMax},
      {.name = "max_pool",
       .description = "Windowed maximum, as torch.nn.MaxPool2d.",
       .output = kMap,
       .params = {Sides("kernel_size", "", 1, kMaxWindow, /*required=*/true),
                  Sides("stride", "", 1, kMaxWindow), Sides("padding", "0", 0, kMaxWindow / 2),
                  Sides("dilation", "1", 1, kMaxWindow), Flag("ceil_mode", "false"),
                  Flag("return_indices", "false", /*in_space=*/false)},
       .check = CheckWindow,
       .check_map = CheckWindowOnMap,
       .value_count = WindowValueCount,
       .compute = ComputeMaxPool},
      {.name = "avg_pool",
       .description = "Windowed mean, as torch.nn.AvgPool2d.",
       .output = kMap,
       .params = {Sides("kernel_size", "", 1, kMaxWindow, /*required=*/true),
                  Sides("stride", "", 1, kMaxWindow), Sides("padding", "0", 0, kMaxWindow / 2),
                  Flag("ceil_mode", "false"), Flag("count_include_pad", "true"),
                  Int("divisor_override", "", INT32_MIN, INT32_MAX)},
       .check = CheckWindow,
       .check_map = CheckWindowOnMap,
       .value_count = WindowValueCount,
       .compute = ComputeAvgPool},
      {.name = "feature_map",
       .description = "The map itself.",
       .output = kMap,
       .params = {},
       .value_count = WholeMap,
       .compute = ComputeFeatureMap},
      {.name = "class_scores",
       .description = "Scores of the model's classifier, for any input size.",
       .output = kScores,
       .params = {Int("top_k", "5", 0, 100'000, /*in_space=*/false),
                  Enum("score_type", "softmax", "softmax|logits")},
       .value_count = Scores,
       .compute = ComputeClassScores},
  };
  return *table;
}

}  // namespace

absl::Span<const HeadType> HeadTypes() { return Table(); }

const HeadType* FindHeadType(std::string_view name) {
  for (const HeadType& type : Table()) {
    if (type.name == name) return &type;
  }
  return nullptr;
}

absl::Status CheckHeadOnMap(const HeadSpec& spec, int64_t h, int64_t w) {
  const HeadType* type = FindHeadType(spec.kind);
  return type->check_map == nullptr ? absl::OkStatus() : type->check_map(spec, h, w);
}

}  // namespace pixpool
