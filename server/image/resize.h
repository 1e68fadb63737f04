// Pillow's resize, bit for bit.
#pragma once

#include "server/image/image.h"

namespace pixpool {

// Filters of PIL.Image.Resampling: a triangle, and Keys' cubic with a = -0.5. When shrinking, their
// support grows with the scale, so every source pixel counts (antialiasing).
enum class ResizeFilter { kBilinear, kBicubic };

// Resizes `source` to width x height and gives the part `region` of the result; only that part, and
// what it needs of the source, is computed. The bytes equal those of Image.resize((width, height),
// filter) in Pillow 13, cropped. Both sizes at least 1; the region lies within the result and is
// not empty. Where the source is a part of a picture, it is the whole that is resized, and the part
// must hold SourceRegion. Thread-safe, single-threaded; what it holds beside source and result is
// RowResizer's (image/row_resizer.h), which does it.
Image ResizeRegion(const Image& source, int width, int height, Region region, ResizeFilter filter);

// The part of a picture of size `source` that ResizeRegion reads.
Region SourceRegion(Size source, int width, int height, Region region, ResizeFilter filter);

}  // namespace pixpool
