// What becomes of a picture's size, without touching a pixel.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

#include "server/base/error.h"
#include "server/base/number_text.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/input/options.h"
#include "server/input/preprocess.h"

namespace pixpool {
namespace {

constexpr std::string_view kFlag = InputLimits::kMaxSide.flag;

absl::Status CheckSide(std::string_view field, int value, int min, int max_input_side) {
  ErrorDetails details;
  details.field = std::string(field);
  details.metadata = {{"value", Concat(value)}};
  if (value < min) {
    details.reason = ErrorReason::kRequestInvalid;
    details.metadata.emplace_back("min", Concat(min));
    return MakeError(details, Concat(field, " is ", value, " pixels; it must be at least ", min));
  }
  if (value > max_input_side) {
    details.reason = ErrorReason::kLimitExceeded;
    details.metadata.emplace_back("limit", Concat(max_input_side));
    details.metadata.emplace_back("flag", kFlag);
    return MakeError(details, Concat(field, " is ", value, " pixels; the limit is ", max_input_side,
                                     " (", kFlag, ")"));
  }
  return absl::OkStatus();
}

absl::Status TooLarge(Size size, int limit) {
  ErrorDetails details;
  details.reason = ErrorReason::kLimitExceeded;
  details.metadata = {{"width", Concat(size.width)},
                      {"height", Concat(size.height)},
                      {"limit", Concat(limit)},
                      {"flag", std::string(kFlag)}};
  return MakeError(details, Concat("the network's input would be ", size.width, " x ", size.height,
                                   " pixels; the limit is ", limit, " pixels a side (", kFlag,
                                   "); resize or crop the picture"));
}

// What both sides become under kExact.
Size ExactSize(const InputPlan& plan) {
  return {plan.exact_width > 0 ? plan.exact_width : plan.width,
          plan.exact_height > 0 ? plan.exact_height : plan.height};
}

// A length that goes with `recipe_side` of the recipe's input, for an input with `side`.
int Following(int64_t length, int side, int recipe_side) {
  return static_cast<int>(std::max<int64_t>(1, length * side / recipe_side));
}

int ScaledSide(int side, double scale) {
  return static_cast<int>(std::max(1L, std::lround(side * scale)));
}

absl::Status ScalesError(std::string_view field, std::string_view message) {
  return MakeError({.reason = ErrorReason::kRequestInvalid, .field = std::string(field)}, message);
}

// The network's input where it is the same for every picture.
std::optional<Size> InputForAll(const InputPlan& plan) {
  if (plan.crop == CropMode::kCenter) return Size{plan.width, plan.height};
  if (plan.resize == ResizeMode::kExact) return ExactSize(plan);
  return std::nullopt;
}

absl::Status CheckTaken(std::string_view field, const InputSizes& sizes, Size size,
                        std::string_view advice) {
  if (sizes.Takes(size.height, size.width)) return absl::OkStatus();
  ErrorDetails details;
  details.reason = ErrorReason::kRequestInvalid;
  details.field = std::string(field);
  details.metadata = {
      {"height", Concat(size.height)}, {"width", Concat(size.width)}, {"sizes", sizes.Text()}};
  return MakeError(
      details,
      Concat(field, field.empty() ? "" : ": ", "the network's input would be ", size.height, " x ",
             size.width, " pixels (height first); it takes ", sizes.Text(), "; ", advice));
}

// The scales of a request, rising. Checks the input's size at each.
absl::StatusOr<std::vector<double>> CheckScales(const InputOptions& options, const InputPlan& plan,
                                                int max_input_side) {
  if (options.scales.size() > kMaxScales) {
    return ScalesError("scales", Concat("there are ", options.scales.size(), " scales; at most ",
                                        kMaxScales, " are allowed"));
  }
  for (size_t i = 0; i < options.scales.size(); ++i) {
    const double scale = options.scales[i];
    const std::string field = Concat("scales[", i, "]");
    if (!(scale >= kMinScale && scale <= kMaxScale)) {
      return ScalesError(
          field, Concat(field, " is ", scale, "; it must be ", kMinScale, " to ", kMaxScale));
    }
    if (std::count(options.scales.begin(), options.scales.end(), scale) > 1) {
      return ScalesError(field, Concat("scale ", scale, " is given twice"));
    }
    if (plan.crop == CropMode::kNone && plan.resize != ResizeMode::kExact) continue;
    const Size input = *InputForAll(ScaledPlan(plan, scale));
    for (const int side : {input.height, input.width}) {
      PIXPOOL_RETURN_IF_ERROR(CheckSide(field, side, plan.min_side, max_input_side));
    }
    PIXPOOL_RETURN_IF_ERROR(CheckTaken(field, plan.sizes, input, "leave the scale out"));
  }
  std::vector<double> scales = options.scales;
  if (scales.empty()) scales = {1};
  std::sort(scales.begin(), scales.end());
  return scales;
}

// Long side of a picture whose short side becomes `target`, truncated as torchvision does.
int64_t LongSide(int64_t target, int64_t short_side, int64_t long_side) {
  return std::max<int64_t>(1, target * long_side / short_side);
}

}  // namespace

std::string InputPlan::Canonical() const {
  std::string text = Concat("resize=", ResizeModeName(resize));
  if (resize == ResizeMode::kShorterSide) text += Concat(":", resize_size);
  if (resize == ResizeMode::kExact) {
    const Size exact = ExactSize(*this);
    text += Concat(":", exact.height, "x", exact.width);
  }
  if (resize != ResizeMode::kNone) text += Concat(":", InterpolationName(interpolation));
  text += Concat(";crop=", CropModeName(crop));
  if (crop == CropMode::kCenter) text += Concat(":", height, "x", width);
  text += Concat(";exif=", apply_exif ? "true" : "false", ";background=");
  if (!background) text += "none";
  for (int i = 0; background && i < 3; ++i) {
    text += Concat(i == 0 ? "" : ",", int{(*background)[i]});
  }
  const bool plain = scales == std::vector<double>{1};
  if (!plain) {
    text += ";scales=";
    for (const double s : scales) text += Concat(s == scales.front() ? "" : ",", FloatText(s));
    // At other scales a picture is resized even where the plan does not ask for it.
    if (resize == ResizeMode::kNone) text += Concat(":", InterpolationName(interpolation));
  }
  if (flip) text += ";flip=true";
  if (scaled_decode) text += ";decode=scaled";
  if (grey) text += ";color=grey";
  return text;
}

std::vector<InputPass> PassesOf(const InputPlan& plan) {
  std::vector<InputPass> passes;
  for (const double scale : plan.scales) {
    passes.push_back({scale, false});
    if (plan.flip) passes.push_back({scale, true});
  }
  return passes;
}

InputPlan ScaledPlan(const InputPlan& plan, double scale) {
  InputPlan scaled = plan;
  if (scale == 1) return scaled;
  const auto times = [scale](int side) { return ScaledSide(side, scale); };
  scaled.height = times(plan.height);
  scaled.width = times(plan.width);
  scaled.resize_size = times(plan.resize_size);
  if (plan.exact_height > 0) scaled.exact_height = times(plan.exact_height);
  if (plan.exact_width > 0) scaled.exact_width = times(plan.exact_width);
  scaled.scale = scale;
  return scaled;
}

absl::StatusOr<InputPlan> MakeInputPlan(const InputRecipe& recipe, const InputOptions& options,
                                        int max_input_side) {
  if (options.height) {
    PIXPOOL_RETURN_IF_ERROR(
        CheckSide("input_height_px", *options.height, recipe.min_side, max_input_side));
  }
  if (options.width) {
    PIXPOOL_RETURN_IF_ERROR(
        CheckSide("input_width_px", *options.width, recipe.min_side, max_input_side));
  }
  if (options.resize_size) {
    PIXPOOL_RETURN_IF_ERROR(CheckSide("resize_size_px", *options.resize_size, 1, max_input_side));
  }
  InputPlan plan;
  plan.resize = options.resize.value_or(recipe.resize);
  plan.crop = options.crop.value_or(recipe.crop);
  plan.interpolation = recipe.interpolation;
  plan.height = options.height.value_or(options.width.value_or(recipe.height));
  plan.width = options.width.value_or(options.height.value_or(recipe.width));
  plan.apply_exif = options.apply_exif;
  plan.background = options.background;
  if (options.resize_size) {
    plan.resize_size = *options.resize_size;
  } else {
    plan.resize_size = std::max(Following(recipe.resize_size, plan.height, recipe.height),
                                Following(recipe.resize_size, plan.width, recipe.width));
  }
  if (!options.resize && recipe.exact_height > 0) {
    plan.exact_height = Following(recipe.exact_height, plan.height, recipe.height);
  }
  if (!options.resize && recipe.exact_width > 0) {
    plan.exact_width = Following(recipe.exact_width, plan.width, recipe.width);
  }
  plan.flip = options.flip;
  plan.grey = recipe.grey;
  plan.min_side = recipe.min_side;
  plan.sizes = recipe.sizes;
  if (const auto input = InputForAll(plan)) {
    const std::string_view field = options.height  ? "input_height_px"
                                   : options.width ? "input_width_px"
                                                   : "crop";
    PIXPOOL_RETURN_IF_ERROR(CheckTaken(
        field, plan.sizes, *input, Concat("the default is ", recipe.height, " x ", recipe.width)));
  }
  PIXPOOL_ASSIGN_OR_RETURN(plan.scales, CheckScales(options, plan, max_input_side));
  // Where the picture is not shrunk to half, no scaled decode leaves twice what is wanted.
  const bool can_shrink = plan.resize != ResizeMode::kNone || plan.scales.back() < 0.5;
  plan.scaled_decode = options.scaled_decode && can_shrink;
  return plan;
}

Size DecodeFloor(const InputPlan& plan, Size picture) {
  if (!plan.scaled_decode) return {};
  const auto twice = [](int side) { return side > INT32_MAX / 2 ? INT32_MAX : 2 * side; };
  const Size resized = ResizedSize(ScaledPlan(plan, plan.scales.back()), picture);
  return {twice(resized.width), twice(resized.height)};
}

Size ResizedSize(const InputPlan& plan, Size picture) {
  switch (plan.resize) {
    case ResizeMode::kNone:
      if (plan.scale == 1) return picture;
      return {ScaledSide(picture.width, plan.scale), ScaledSide(picture.height, plan.scale)};
    case ResizeMode::kExact:
      return ExactSize(plan);
    case ResizeMode::kShorterSide:
      break;
  }
  const auto clamp = [](int64_t side) {
    return static_cast<int>(std::min<int64_t>(side, INT32_MAX));
  };
  if (picture.width <= picture.height) {
    return {plan.resize_size, clamp(LongSide(plan.resize_size, picture.width, picture.height))};
  }
  return {clamp(LongSide(plan.resize_size, picture.height, picture.width)), plan.resize_size};
}

absl::StatusOr<Size> NetworkInputSize(const InputPlan& plan, Size picture, int max_input_side) {
  if (picture.width < 1 || picture.height < 1) {
    return MakeError(ErrorReason::kRequestInvalid, "the picture has no pixels");
  }
  const Size resized = ResizedSize(plan, picture);
  if (plan.crop == CropMode::kCenter) return Size{plan.width, plan.height};
  if (std::max(resized.width, resized.height) > max_input_side) {
    return TooLarge(resized, max_input_side);
  }
  if (std::min(resized.width, resized.height) < plan.min_side) {
    ErrorDetails details;
    details.reason = ErrorReason::kRequestInvalid;
    details.metadata = {{"width", Concat(resized.width)},
                        {"height", Concat(resized.height)},
                        {"min", Concat(plan.min_side)}};
    return MakeError(details, Concat("the network's input would be ", resized.width, " x ",
                                     resized.height, " pixels; both sides must be at least ",
                                     plan.min_side, "; resize or crop the picture"));
  }
  PIXPOOL_RETURN_IF_ERROR(CheckTaken("", plan.sizes, resized, "resize or crop the picture"));
  return resized;
}

}  // namespace pixpool
