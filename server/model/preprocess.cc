#include "server/model/preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "server/image/resize.h"

namespace pixpool {
namespace {

// One axis of a crop, with the padding that torchvision gives a side which is too short.
struct CropAxis {
  int source = 0;  // first row or column taken from the picture
  int target = 0;  // where it goes
  int count = 0;
};

CropAxis CenterAxis(int side, int crop) {
  if (side < crop) return {0, (crop - side) / 2, side};
  // Half to even, as Python's round().
  return {static_cast<int>(std::nearbyint((side - crop) / 2.0)), 0, crop};
}

// `part` on black, at the crop's size.
Image Pad(const Image& part, const CropAxis& x, const CropAxis& y, Size size) {
  Image out(size.width, size.height);
  std::fill_n(out.data(), out.byte_size(), uint8_t{0});
  for (int row = 0; row < part.height(); ++row) {
    std::memcpy(out.row(y.target + row) + static_cast<size_t>(x.target) * 3, part.row(row),
                part.stride());
  }
  return out;
}

}  // namespace

Image Preprocess(Image picture, const InputPlan& plan) {
  const Size from = {picture.width(), picture.height()};
  const Size resized = ResizedSize(plan, from);
  const Size wanted = plan.crop == CropMode::kCenter ? Size{plan.width, plan.height} : resized;
  if (resized == from && wanted == from) return picture;
  // Only what the crop keeps is computed: a long thin picture has millions of pixels once resized.
  const CropAxis x = CenterAxis(resized.width, wanted.width);
  const CropAxis y = CenterAxis(resized.height, wanted.height);
  const auto filter = plan.interpolation == Interpolation::kBilinear ? ResizeFilter::kBilinear
                                                                     : ResizeFilter::kBicubic;
  Image part = ResizeRegion(picture, resized.width, resized.height,
                            {x.source, y.source, x.count, y.count}, filter);
  if (part.width() == wanted.width && part.height() == wanted.height) return part;
  return Pad(part, x, y, wanted);
}

}  // namespace pixpool
