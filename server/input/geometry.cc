#include "server/input/geometry.h"

#include <cmath>

namespace pixpool {

CropAxis CenterAxis(int side, int crop) {
  if (side < crop) return {0, (crop - side) / 2, side};
  // Half to even, as Python's round().
  return {static_cast<int>(std::nearbyint((side - crop) / 2.0)), 0, crop};
}

Geometry GeometryOf(const InputPlan& plan, Size from, Size full) {
  Geometry geometry;
  geometry.from = from;
  geometry.resized = ResizedSize(plan, full);
  geometry.wanted =
      plan.crop == CropMode::kCenter ? Size{plan.width, plan.height} : geometry.resized;
  geometry.x = CenterAxis(geometry.resized.width, geometry.wanted.width);
  geometry.y = CenterAxis(geometry.resized.height, geometry.wanted.height);
  geometry.filter = plan.interpolation == Interpolation::kBilinear ? ResizeFilter::kBilinear
                                                                   : ResizeFilter::kBicubic;
  return geometry;
}

}  // namespace pixpool
