// Pixels to network input: resize and crop. Normalisation is the graph's own. Reference:
// torchvision's Resize and CenterCrop on PIL images.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/bundle/manifest.h"
#include "server/image/image.h"

namespace pixpool {

// What a request may change; absent fields mean the recipe's.
struct InputOptions {
  std::optional<ResizeMode> resize;
  std::optional<CropMode> crop;
  std::optional<int> height;
  std::optional<int> width;
  std::optional<int> resize_size;
  bool apply_exif = true;
  bool scaled_decode = false;
  std::optional<std::array<uint8_t, 3>> background;
  std::vector<double> scales;  // empty: one pass at scale 1
  bool flip = false;
  std::optional<bool> refuse_damaged;  // absent: as the server does

  bool operator==(const InputOptions&) const = default;
};

// A recipe with a request's options applied.
struct InputPlan {
  ResizeMode resize = ResizeMode::kShorterSide;
  int resize_size = 256;
  Interpolation interpolation = Interpolation::kBicubic;
  CropMode crop = CropMode::kCenter;
  int height = 224;
  int width = 224;
  // Both sides after kExact; 0: height and width.
  int exact_height = 0;
  int exact_width = 0;
  bool apply_exif = true;
  bool scaled_decode = false;  // only where it can make a difference
  std::optional<std::array<uint8_t, 3>> background;
  std::vector<double> scales = {1};  // rising
  bool flip = false;
  bool grey = false;             // the picture loses its colours before it is resized
  int min_side = kMinInputSide;  // of the network's input
  InputSizes sizes;              // that the network takes
  // The scale that this plan was brought to with ScaledPlan, which the sizes above follow already.
  double scale = 1;

  // Everything above that decides pixels, as one line of text for the space id.
  std::string Canonical() const;
};

// Bounds of InputOptions::scales.
inline constexpr double kMinScale = 0.1;
inline constexpr double kMaxScale = 4;
inline constexpr size_t kMaxScales = 8;

// One look of the network at a picture.
struct InputPass {
  double scale = 1;
  bool mirrored = false;  // left to right
};

// The passes of a plan: each scale, and each mirrored under flip.
std::vector<InputPass> PassesOf(const InputPlan& plan);

// The plan of one scale: resize and input sizes times `scale`, rounded.
InputPlan ScaledPlan(const InputPlan& plan, double scale);

// Applies options to a recipe. One of height and width alone sets both. Without resize_size, the
// recipe's is scaled by the larger of height / recipe.height and width / recipe.width, rounded
// down, at least 1. The sides of the recipe's exact resize follow height and width likewise, each
// its own; kExact as an option resizes to height and width themselves. Errors: REQUEST_INVALID with
// the field ("input_height_px", "input_width_px", "resize_size_px", "crop", "scales"), for sizes
// that the recipe does not take too where they do not depend on the picture; LIMIT_EXCEEDED over
// max_input_side (InputLimits).
absl::StatusOr<InputPlan> MakeInputPlan(const InputRecipe& recipe, const InputOptions& options,
                                        int max_input_side);

// Size of the network's input for a picture of this size (after orientation). LIMIT_EXCEEDED where
// a side is over max_input_side (only possible without a crop or resize), REQUEST_INVALID where a
// side is below the plan's min_side or the network does not take the size.
absl::StatusOr<Size> NetworkInputSize(const InputPlan& plan, Size picture, int max_input_side);

// Size after the resize, before the crop: torchvision's rule, the long side truncated.
Size ResizedSize(const InputPlan& plan, Size picture);

// The size that a picture of this size must keep in a scaled decode: twice the resized size at the
// plan's largest scale. {0, 0}, for the full size, where the plan asks for no scaled decode.
Size DecodeFloor(const InputPlan& plan, Size picture);

// The part of a picture that Preprocess reads, over all scales of the plan. `decoded` is the size
// that the picture was decoded at, `full` that of the file, as for Preprocess.
Region NeededRegion(const InputPlan& plan, Size decoded, Size full);

// Resizes and crops. Equals Pillow's Image.resize byte for byte (server/image/resize.h). Crop
// offsets are torchvision's, round half to even; a picture smaller than the crop is padded with
// black. `full` is the size that the file has where the picture was decoded at a reduced scale; it
// decides what the picture is resized to. `picture` may be a part, with at least NeededRegion.
// Takes the picture over, so that nothing is copied where nothing changes. Thread-safe,
// single-threaded inside.
Image Preprocess(Image picture, const InputPlan& plan, std::optional<Size> full = std::nullopt);

// The same for a picture that is needed again.
Image PreprocessCopy(const Image& picture, const InputPlan& plan,
                     std::optional<Size> full = std::nullopt);

// The part of a picture of this size that the network sees, in pixels of the picture.
RegionF SeenArea(const InputPlan& plan, Size picture);

// Where a rectangle of a picture of this size lies on the network's input, in its pixels: beyond
// its edges where the crop leaves nothing of it.
RegionF OnInput(const InputPlan& plan, Size picture, const RegionF& region);

}  // namespace pixpool
