// Two passes of fixed-point convolution, as Pillow defines them: weights in double, rounded to 22
// fractional bits; sums in 32 bits; each pass rounded to 8 bits. Why not a library: OpenCV's resize
// has no antialiasing and is off by up to 81 levels; LibTorch's uint8 kernel has 16-bit weights and
// is off by up to 2, which moves embeddings by 2e-5 in cosine.
#include "server/image/resize.h"

#include <cstdint>
#include <cstring>

#include "server/image/resize_axis.h"
#include "server/image/resize_passes.h"

namespace pixpool {
namespace {

// The fastest that this processor has.
const ResizePasses& FastestPasses() {
  if (Avx512ResizePasses() != nullptr) return *Avx512ResizePasses();
  if (Avx2ResizePasses() != nullptr) return *Avx2ResizePasses();
  return PortableResizePasses();
}

const ResizePasses& Passes() {
  static const ResizePasses& passes = FastestPasses();
  return passes;
}

Image Horizontal(const Image& source, const Axis& axis, int top, int height) {
  Image out(static_cast<int>(axis.windows.size()), height);
  Passes().horizontal(source, axis, top, &out);
  return out;
}

Image Vertical(const Image& source, const Axis& axis, int source_top, int left, int width) {
  Image out(width, static_cast<int>(axis.windows.size()));
  Passes().vertical(source, axis, source_top, left, &out);
  return out;
}

// Since version 13 Pillow begins with the axis that loses far more, if that is the vertical one;
// rounding makes the order of the passes visible. The rule is inferred from its results, and
// checked against them by the tests.
bool VerticalFirst(int in_width, int in_height, int width, int height) {
  const int64_t fewer_rows = int64_t{in_height} - height;
  const int64_t fewer_columns = int64_t{in_width} - width;
  return fewer_rows > 0 && fewer_rows > 2 * fewer_columns;
}

Image Crop(const Image& source, Region region) {
  Image out(region.width, region.height);
  for (int y = 0; y < region.height; ++y) {
    std::memcpy(out.row(y), source.row(region.top + y) + static_cast<size_t>(region.left) * 3,
                out.stride());
  }
  return out;
}

void Shift(Axis& axis, int by) {
  for (Window& window : axis.windows) window.first -= by;
}

}  // namespace

Image ResizeRegion(const Image& source, int width, int height, Region region, ResizeFilter filter) {
  const Size whole = source.whole();
  const Region part = source.part();
  const bool across = width != whole.width;
  const bool down = height != whole.height;
  Axis columns = across ? MakeAxis(whole.width, width, region.left, region.width, filter) : Axis();
  Axis rows = down ? MakeAxis(whole.height, height, region.top, region.height, filter) : Axis();
  // From here on in pixels of the part.
  Shift(columns, part.left);
  Shift(rows, part.top);
  const int left = region.left - part.left;  // where the axis keeps its size
  const int top = region.top - part.top;
  if (!across && !down) return Crop(source, {left, top, region.width, region.height});
  if (!down) return Horizontal(source, columns, top, region.height);
  if (!across) return Vertical(source, rows, 0, left, region.width);
  if (VerticalFirst(whole.width, whole.height, width, height)) {
    const int begin = columns.source_begin();
    const Image shrunk = Vertical(source, rows, 0, begin, columns.source_end() - begin);
    Shift(columns, begin);
    return Horizontal(shrunk, columns, 0, shrunk.height());
  }
  const int begin = rows.source_begin();
  const Image narrow = Horizontal(source, columns, begin, rows.source_end() - begin);
  return Vertical(narrow, rows, begin, 0, narrow.width());
}

Region SourceRegion(Size source, int width, int height, Region region, ResizeFilter filter) {
  const SampleRange x = SourceSamples(source.width, width, region.left, region.width, filter);
  const SampleRange y = SourceSamples(source.height, height, region.top, region.height, filter);
  return {x.first, y.first, x.count, y.count};
}

}  // namespace pixpool
