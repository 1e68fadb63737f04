#include "server/model/pass_bytes.h"

#include <ATen/ops/full.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "server/base/memory.h"
#include "server/base/memory_limit.h"
#include "server/base/status_macros.h"

namespace pixpool {
namespace {

// What inputs were found to take at the most, in what the measured one predicts; the second where
// an engine frees memory during a pass, of which only the rest is seen at its end.
constexpr double kMargin = 1.1;
constexpr double kMarginOfFreed = 1.35;
// Pixels, in recipe sizes, from which on a pass counts as large.
constexpr int64_t kLargeFrom = 4;
// The measured input, in recipe sides.
constexpr double kMeasuredScale = 1.7;
// Copies of an output that a pass holds for its own sake.
constexpr double kOutputCopies = 1.25;
// Copies of a map that the hungriest head holds at a time.
constexpr double kHeadCopies = 3.5;

int64_t Pixels(Size size) { return int64_t{size.width} * size.height; }

// A grey square of the recipe's shorter side times `scale`.
at::Tensor Grey(const ModelInfo& info, double scale) {
  const int shorter = std::min(info.input.height, info.input.width);
  const auto side = std::max<int64_t>(info.input.min_side, std::lround(scale * shorter));
  return at::full({1, side, side, 3}, 127, at::TensorOptions(at::kByte));
}

// Memory that a pass made the process take: what it frees stays in the heap until that is trimmed.
absl::StatusOr<int64_t> Growth(Backbone& backbone, const BackbonePass& pass) {
  ReturnFreeMemory();
  const int64_t before = ResidentBytes();
  const absl::Status status = backbone.Run(pass).status();
  const int64_t after = ResidentBytes();
  backbone.EndPass(pass.instance);
  PIXPOOL_RETURN_IF_ERROR(status);
  return std::max<int64_t>(0, after - before);
}

Size RecipeSize(const ModelInfo& info) { return {info.input.width, info.input.height}; }

std::vector<int> AllLayers(const ModelInfo& info) {
  std::vector<int> layers(info.layers.size());
  std::iota(layers.begin(), layers.end(), 0);
  return layers;
}

}  // namespace

PassParts PassPrices::Of(Size input, const std::vector<int>& layers,
                         absl::Span<const LayerInfo> infos) const {
  PassParts parts;
  if (IsUsual(input, layers)) return parts;
  const bool default_alone = layers == std::vector<int>{default_layer_};
  const PassPrice& price = default_alone ? usual_ : all_;
  const auto pixels = static_cast<double>(Pixels(input));
  parts.network = price.network;
  parts.maps = static_cast<int64_t>(price.per_pixel * pixels);
  if (parts.maps == 0) return parts;  // off the CPU
  // Heads run one after the other.
  for (const int layer : layers) {
    const LayerInfo& info = infos[static_cast<size_t>(layer)];
    const double cells = pixels / info.stride / info.stride;
    const double map = cells * info.channels * sizeof(float);
    parts.heads = std::max(parts.heads, static_cast<int64_t>(kHeadCopies * map));
  }
  return parts;
}

bool PassPrices::IsLarge(Size input) const {
  return all_.per_pixel > 0 && Pixels(input) > kLargeFrom * Pixels(recipe_);
}

int64_t PassPrices::usual_bytes() const {
  return static_cast<int64_t>(usual_.per_pixel * static_cast<double>(Pixels(recipe_)));
}

bool PassPrices::IsUsual(Size input, const std::vector<int>& layers) const {
  if (!keeps_usual_) return Pixels(input) <= Pixels(recipe_);
  return input == recipe_ && layers == std::vector<int>{default_layer_};
}

absl::StatusOr<int64_t> MeasureFirstPass(Backbone& backbone, const ModelInfo& info) {
  if (info.device != "cpu") return 0;
  return Growth(backbone, {.images = Grey(info, 1), .layers = AllLayers(info)});
}

absl::StatusOr<PassPrices> MeasurePasses(Backbone& backbone, const ModelInfo& info,
                                         int64_t first_pass) {
  if (info.device != "cpu") return PassPrices();
  const std::vector<int> all_layers = AllLayers(info);
  const bool picks = backbone.picks_layers();
  int default_layer = 0;
  double others = 0;  // bytes of the other layers' maps, per pixel
  for (const int layer : all_layers) {
    const LayerInfo& l = info.layers[static_cast<size_t>(layer)];
    if (l.name == info.default_layer) {
      default_layer = layer;
    } else {
      others += kOutputCopies * sizeof(float) * l.channels / l.stride / l.stride;
    }
  }
  BackbonePass pass = {.images = Grey(info, kMeasuredScale), .layers = {default_layer}};
  pass.large = true;
  if (!picks) pass.layers = all_layers;
  PIXPOOL_ASSIGN_OR_RETURN(const int64_t growth, Growth(backbone, pass));
  const auto pixels = static_cast<double>(pass.images.size(1) * pass.images.size(2));
  const auto total = static_cast<double>(growth);
  if (!picks) {
    const PassPrice any = {.per_pixel = kMarginOfFreed * total / pixels};
    return PassPrices(any, any, RecipeSize(info), default_layer, false);
  }
  // Each of the two passes had to make its network, which costs the same, so that the difference is
  // that of their maps.
  const double first_pixels = static_cast<double>(Grey(info, 1).numel()) / 3;
  const double first = static_cast<double>(first_pass) - others * first_pixels;
  PassPrice usual;
  usual.per_pixel = std::max(0.0, total - first) / (pixels - first_pixels);
  usual.network = static_cast<int64_t>(std::max(0.0, total - usual.per_pixel * pixels));
  usual.per_pixel *= kMargin;
  PassPrice all = usual;
  all.per_pixel += others;
  return PassPrices(usual, all, RecipeSize(info), default_layer, true);
}

}  // namespace pixpool
