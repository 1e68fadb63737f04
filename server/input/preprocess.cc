#include "server/input/preprocess.h"

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

// What a plan makes of a picture.
struct Geometry {
  Size from;
  Size resized;
  Size wanted;
  bool unchanged() const { return resized == from && wanted == from; }
};

Geometry GeometryOf(const InputPlan& plan, Size from, Size full) {
  const Size resized = ResizedSize(plan, full);
  return {from, resized, plan.crop == CropMode::kCenter ? Size{plan.width, plan.height} : resized};
}

ResizeFilter FilterOf(const InputPlan& plan) {
  return plan.interpolation == Interpolation::kBilinear ? ResizeFilter::kBilinear
                                                        : ResizeFilter::kBicubic;
}

// What the crop keeps of the resized picture.
Region Kept(const CropAxis& x, const CropAxis& y) { return {x.source, y.source, x.count, y.count}; }

// Resizes and crops where that changes something.
Image ResizeAndCrop(const Image& picture, const InputPlan& plan, const Geometry& geometry) {
  const Size resized = geometry.resized;
  const Size wanted = geometry.wanted;
  // Only what the crop keeps is computed: a long thin picture has millions of pixels once resized.
  const CropAxis x = CenterAxis(resized.width, wanted.width);
  const CropAxis y = CenterAxis(resized.height, wanted.height);
  Image part = ResizeRegion(picture, resized.width, resized.height, Kept(x, y), FilterOf(plan));
  if (part.width() == wanted.width && part.height() == wanted.height) return part;
  return Pad(part, x, y, wanted);
}

// Where the `crop` cells of the network's input begin and end on one axis of the picture.
std::pair<double, double> SeenAxis(int picture, int resized, int crop) {
  const CropAxis axis = CenterAxis(resized, crop);
  const double scale = static_cast<double>(picture) / resized;
  const double start = (axis.source - axis.target) * scale;
  return {start, start + crop * scale};
}

// The smallest region that holds both.
Region Around(const Region& a, const Region& b) {
  const int left = std::min(a.left, b.left);
  const int top = std::min(a.top, b.top);
  return {left, top, std::max(a.right(), b.right()) - left, std::max(a.bottom(), b.bottom()) - top};
}

// What one scale of a plan needs.
Region NeededAtScale(const InputPlan& plan, Size decoded, Size full) {
  const Geometry geometry = GeometryOf(plan, decoded, full);
  const CropAxis x = CenterAxis(geometry.resized.width, geometry.wanted.width);
  const CropAxis y = CenterAxis(geometry.resized.height, geometry.wanted.height);
  return SourceRegion(decoded, geometry.resized.width, geometry.resized.height, Kept(x, y),
                      FilterOf(plan));
}

}  // namespace

Region NeededRegion(const InputPlan& plan, Size decoded, Size full) {
  Region needed = NeededAtScale(ScaledPlan(plan, plan.scales.front()), decoded, full);
  for (const double scale : plan.scales) {
    needed = Around(needed, NeededAtScale(ScaledPlan(plan, scale), decoded, full));
  }
  return needed;
}

Image Preprocess(Image picture, const InputPlan& plan, std::optional<Size> full) {
  const Geometry geometry = GeometryOf(plan, picture.whole(), full.value_or(picture.whole()));
  return geometry.unchanged() ? std::move(picture) : ResizeAndCrop(picture, plan, geometry);
}

Image PreprocessCopy(const Image& picture, const InputPlan& plan, std::optional<Size> full) {
  const Geometry geometry = GeometryOf(plan, picture.whole(), full.value_or(picture.whole()));
  if (!geometry.unchanged()) return ResizeAndCrop(picture, plan, geometry);
  return CopyImage(picture);
}

RegionF SeenArea(const InputPlan& plan, Size picture) {
  const Geometry geometry = GeometryOf(plan, picture, picture);
  const auto [left, right] = SeenAxis(picture.width, geometry.resized.width, geometry.wanted.width);
  const auto [top, bottom] =
      SeenAxis(picture.height, geometry.resized.height, geometry.wanted.height);
  return {left, top, right, bottom};
}

}  // namespace pixpool
