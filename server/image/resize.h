// Pillow's resize, bit for bit.
#pragma once

#include "server/image/image.h"

namespace pixpool {

// Filters of PIL.Image.Resampling: a triangle, and Keys' cubic with a = -0.5. When shrinking, their
// support grows with the scale, so every source pixel counts (antialiasing).
enum class ResizeFilter { kBilinear, kBicubic };

// A rectangle in pixels.
struct Region {
  int left = 0;
  int top = 0;
  int width = 0;
  int height = 0;
};

// Resizes `source` to width x height and gives the part `region` of the result; only that part, and
// what it needs of the source, is computed. The bytes equal those of Image.resize((width, height),
// filter) in Pillow 13, cropped. Both sizes at least 1; the region lies within the result and is
// not empty. Thread-safe, single-threaded; needs memory for the region's columns over the source
// rows that it needs.
Image ResizeRegion(const Image& source, int width, int height, Region region, ResizeFilter filter);

}  // namespace pixpool
