#include "server/input/preprocess.h"

#include <algorithm>
#include <utility>

#include "server/image/resize.h"
#include "server/input/geometry.h"
#include "server/input/input_rows.h"

namespace pixpool {
namespace {

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
  return SourceRegion(decoded, geometry.resized.width, geometry.resized.height, geometry.kept(),
                      geometry.filter);
}

// Resizes and crops.
Image Make(const Image& picture, const InputPlan& plan, Size full) {
  InputRows rows(plan, {.stored = picture.whole(), .orientation = 1, .full = full});
  rows.Take(RowsOf(picture));
  return rows.Finish();
}

bool ChangesNothing(const InputPlan& plan, const Image& picture, Size full) {
  return !plan.grey && GeometryOf(plan, picture.whole(), full).unchanged();
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
  const Size size = full.value_or(picture.whole());
  return ChangesNothing(plan, picture, size) ? std::move(picture) : Make(picture, plan, size);
}

Image PreprocessCopy(const Image& picture, const InputPlan& plan, std::optional<Size> full) {
  const Size size = full.value_or(picture.whole());
  return ChangesNothing(plan, picture, size) ? CopyImage(picture) : Make(picture, plan, size);
}

RegionF SeenArea(const InputPlan& plan, Size picture) {
  const Geometry geometry = GeometryOf(plan, picture, picture);
  const auto [left, right] = SeenAxis(picture.width, geometry.resized.width, geometry.wanted.width);
  const auto [top, bottom] =
      SeenAxis(picture.height, geometry.resized.height, geometry.wanted.height);
  return {left, top, right, bottom};
}

RegionF OnInput(const InputPlan& plan, Size picture, const RegionF& region) {
  const Geometry geometry = GeometryOf(plan, picture, picture);
  const auto along = [](double at, int side, int resized, const CropAxis& axis) {
    return at * resized / side - axis.source + axis.target;
  };
  const auto x = [&](double at) {
    return along(at, picture.width, geometry.resized.width, geometry.x);
  };
  const auto y = [&](double at) {
    return along(at, picture.height, geometry.resized.height, geometry.y);
  };
  return {x(region.left), y(region.top), x(region.right), y(region.bottom)};
}

}  // namespace pixpool
