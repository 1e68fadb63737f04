#include "server/heads/heads.h"

#include <algorithm>
#include <cmath>

#include "server/base/text.h"
#include "server/heads/head_ops.h"
#include "server/heads/head_params.h"
#include "server/heads/regions.h"
#include "server/heads/windows.h"

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

int64_t Pyramid(const HeadSpec& spec, int64_t c, int64_t, int64_t) {
  int64_t cells = 0;
  for (const int64_t n : spec.Ints("levels")) cells += n * n;
  return c * cells;
}

int64_t OneACell(const HeadSpec& spec, int64_t, int64_t h, int64_t w) {
  return spec.Enum("format") == "floats" ? h * w : 0;
}

int64_t Scores(const HeadSpec& spec, int64_t, int64_t, int64_t) {
  const int64_t top_k = spec.Int("top_k");
  return top_k == 0 ? spec.class_count : std::min<int64_t>(top_k, spec.class_count);
}

// Windows of a grid overlap by a cell at most on each axis.
double GridReads(int64_t c, int64_t h, int64_t w, int64_t rows, int64_t columns) {
  return static_cast<double>(c) * static_cast<double>(h + rows) * static_cast<double>(w + columns);
}

double GridOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  const std::vector<int64_t>& size = spec.Ints("output_size");
  return GridReads(c, h, w, size[0], size[1]);
}

double PyramidOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  double reads = 0;
  for (const int64_t n : spec.Ints("levels")) reads += GridReads(c, h, w, n, n);
  return reads;
}

double RmacOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  double cells = static_cast<double>(h) * static_cast<double>(w);
  for (const Region& r : RmacRegions(h, w, spec.Int("levels"), spec.Float("overlap"))) {
    cells += static_cast<double>(r.width) * r.height;
  }
  return cells * static_cast<double>(c);
}

std::string GemNegatives(const HeadSpec& spec) {
  return Concat("lifts them to eps (", ParamText(spec.params.at("eps")), ")");
}

std::string CrowNegatives(const HeadSpec&) {
  return "counts a cell whose channels sum up to less than 0 as 0";
}

std::string LpNegatives(const HeadSpec& spec) {
  const double p = spec.Float("p");
  if (p == std::floor(p / 2) * 2) return "";  // even: every power has a root
  return "gives NaN where the sum of their powers has no root; an even p has one";
}

absl::Status CheckClassIndex(HeadSpec& spec, const HeadScope& scope) {
  if (!spec.Has("class_index") || spec.Int("class_index") < scope.class_count) {
    return absl::OkStatus();
  }
  return WindowError(spec, "class_index",
                     Concat("is ", spec.Int("class_index"), "; the model has ", scope.class_count,
                            " classes, 0 to ", scope.class_count - 1));
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

ParamSpec Text(std::string_view name, bool in_space) {
  ParamSpec p{name, ParamType::kText, ""};
  p.in_space = in_space;
  return p;
}

ParamSpec AtLeast(std::string_view name, std::string_view default_value, double min, double max,
                  bool max_open = false) {
  ParamSpec p{name, ParamType::kFloat, default_value};
  p.min = min;
  p.max = max;
  p.max_open = max_open;
  return p;
}

ParamSpec Levels(std::string_view name, std::string_view default_value, double max,
                 size_t max_entries) {
  ParamSpec p = Sides(name, default_value, 1, max);
  p.max_entries = max_entries;
  return p;
}

ParamSpec Enum(std::string_view name, std::string_view default_value, std::string_view values,
               bool in_space = true) {
  ParamSpec p{name, ParamType::kEnum, default_value};
  p.enum_values = values;
  p.in_space = in_space;
  return p;
}

constexpr double kMaxWindow = 1024;
constexpr double kMaxSide = 65'536;

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
       .negatives = GemNegatives},
      {.name = "lse",
       .description = "Log-sum-exp, log(mean(exp(r x))) / r: between mean and maximum.",
       .output = kVector,
       .params = {Positive("r", "10", 1000)},
       .value_count = OneAChannel,
       .compute = ComputeLse},
      {.name = "lp",
       .description = "Power sum, (sum(x^p))^(1/p), as torch.nn.LPPool2d over the whole map.",
       .output = kVector,
       .params = {AtLeast("p", "2", 1, 100)},
       .value_count = OneAChannel,
       .compute = ComputeLp,
       .negatives = LpNegatives},
      {.name = "rmac",
       .description = "Sum of the L2-normalised maxima of square regions on a grid of scales.",
       .output = kVector,
       .params = {Int("levels", "3", 1, 8), AtLeast("overlap", "0.4", 0, 1, /*max_open=*/true)},
       .value_count = OneAChannel,
       .compute = ComputeRmac,
       .operations = RmacOperations},
      {.name = "crow",
       .description = "Sum weighted by where much responds and by how rarely a channel does.",
       .output = kVector,
       .params = {Positive("a", "2", 100), Positive("b", "2", 100)},
       .value_count = OneAChannel,
       .compute = ComputeCrow,
       .negatives = CrowNegatives},
      {.name = "spoc",
       .description = "Sum weighted by a Gaussian around the centre of the map.",
       .output = kVector,
       .params = {Positive("sigma", "", 10'000)},
       .value_count = OneAChannel,
       .compute = ComputeSpoc},
      {.name = "scda",
       .description = "Mean and maximum of the largest connected part that responds above average.",
       .output = kVector,
       .params = {},
       .value_count = TwoAChannel,
       .compute = ComputeScda},
      {.name = "adaptive_avg",
       .description = "Mean over a grid of near-equal windows, as torch.nn.AdaptiveAvgPool2d.",
       .output = kMap,
       .params = {Sides("output_size", "", 1, kMaxWindow, /*required=*/true)},
       .value_count = Grid,
       .compute = ComputeAdaptiveAvg,
       .operations = GridOperations},
      {.name = "adaptive_max",
       .description = "Maximum over a grid of near-equal windows, as torch.nn.AdaptiveMaxPool2d.",
       .output = kMap,
       .params = {Sides("output_size", "", 1, kMaxWindow, /*required=*/true),
                  Flag("return_indices", "false", /*in_space=*/false)},
       .value_count = Grid,
       .compute = ComputeAdaptiveMax,
       .operations = GridOperations},
      {.name = "spatial_pyramid",
       .description = "Adaptive grids n x n of several sizes, one after another.",
       .output = kVector,
       .params = {Levels("levels", "1x2x4", 32, 8), Enum("pooling", "max", "avg|max")},
       .value_count = Pyramid,
       .compute = ComputeSpatialPyramid,
       .operations = PyramidOperations},
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
       .compute = ComputeMaxPool,
       .operations = WindowOperations},
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
       .compute = ComputeAvgPool,
       .operations = WindowOperations},
      {.name = "max_unpool",
       .description = "Max pooling undone, as torch.nn.MaxUnpool2d: the maxima in place, else 0.",
       .output = kMap,
       .params = {Sides("kernel_size", "", 1, kMaxWindow, /*required=*/true),
                  Sides("stride", "", 1, kMaxWindow), Sides("padding", "0", 0, kMaxWindow / 2),
                  Sides("output_size", "", 1, kMaxSide), Flag("ceil_mode", "false")},
       .check = CheckUnpool,
       .check_map = CheckUnpoolOnMap,
       .value_count = UnpoolValueCount,
       .compute = ComputeMaxUnpool,
       .operations = WindowOperations},
      {.name = "conv_pool",
       .description = "A strided convolution in place of pooling: mean filter or a trained one.",
       .output = kMap,
       .params = {Sides("kernel_size", "", 1, kMaxWindow), Sides("stride", "", 1, kMaxWindow),
                  Flag("mean_filter", ""), Text("bundle_filter", /*in_space=*/false),
                  Flag("relu", "false")},
       .check = CheckConvPool,
       .check_map = CheckWindowOnMap,
       .value_count = ConvPoolValueCount,
       .compute = ComputeConvPool,
       .operations = ConvPoolOperations},
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
      {.name = "class_activation_map",
       .description = "Where on the picture the evidence for a class lies.",
       .output = kActivationMap,
       .params = {Int("class_index", "", 0, INT32_MAX),
                  Enum("format", "floats", "floats|png|png_overlay", /*in_space=*/false)},
       .check = CheckClassIndex,
       .value_count = OneACell,
       .compute = ComputeClassActivationMap},
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

double HeadOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w) {
  const HeadType& type = *FindHeadType(spec.kind);
  if (type.operations != nullptr) return type.operations(spec, c, h, w);
  return static_cast<double>(c) * static_cast<double>(h) * static_cast<double>(w);
}

}  // namespace pixpool
