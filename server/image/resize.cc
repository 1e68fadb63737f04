// Two passes of fixed-point convolution, as Pillow defines them: weights in double, rounded to 22
// fractional bits; sums in 32 bits; each pass rounded to 8 bits. Why not a library: OpenCV's resize
// has no antialiasing and is off by up to 81 levels; LibTorch's uint8 kernel has 16-bit weights and
// is off by up to 2, which moves embeddings by 2e-5 in cosine.
#include "server/image/resize.h"

#include "server/image/resize_axis.h"
#include "server/image/row_resizer.h"

namespace pixpool {

Image ResizeRegion(const Image& source, int width, int height, Region region, ResizeFilter filter) {
  RowResizer resizer({.stored = source.whole(),
                      .orientation = 1,
                      .to = {width, height},
                      .region = region,
                      .filter = filter});
  resizer.Take(RowsOf(source));
  return resizer.Finish();
}

Region SourceRegion(Size source, int width, int height, Region region, ResizeFilter filter) {
  const SampleRange x = SourceSamples(source.width, width, region.left, region.width, filter);
  const SampleRange y = SourceSamples(source.height, height, region.top, region.height, filter);
  return {x.first, y.first, x.count, y.count};
}

}  // namespace pixpool
