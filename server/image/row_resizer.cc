#include "server/image/row_resizer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "server/image/decode.h"
#include "server/image/resize_passes.h"

namespace pixpool {
namespace {

// Rows that the columns' pass takes at a time.
constexpr int kAtOnce = 16;
// Rows of the result's height that wait for it: what it is fastest with.
constexpr int kTall = 4;

// Since version 13 Pillow begins with the axis that loses far more, if that is the vertical one;
// rounding makes the order of the passes visible. The rule is inferred from its results, and
// checked against them by the tests.
bool VerticalFirst(Size from, Size to) {
  const int64_t fewer_rows = int64_t{from.height} - to.height;
  const int64_t fewer_columns = int64_t{from.width} - to.width;
  return fewer_rows > 0 && fewer_rows > 2 * fewer_columns;
}

// A job along the axes of the stored picture.
struct StoredJob {
  Size to;
  Region region;
  bool mirror_columns = false;  // they run against those of the upright picture
  bool mirror_rows = false;
  bool across = false;  // the columns change
  bool down = false;
  bool down_first = false;
};

StoredJob Stored(const ResizeJob& job) {
  const int orientation = job.orientation;
  const bool swaps = SwapsAxes(orientation);
  const Size upright = UprightSize(job.stored, orientation);
  StoredJob stored;
  stored.to = UprightSize(job.to, orientation);
  stored.region = OrientRegion(job.region, job.to, InverseOrientation(orientation));
  stored.mirror_columns =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  stored.mirror_rows = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  stored.across = stored.to.width != job.stored.width;
  stored.down = stored.to.height != job.stored.height;
  stored.down_first = stored.down && (!stored.across || VerticalFirst(upright, job.to) != swaps);
  return stored;
}

// The output samples [begin, begin + count) of one axis, which are counted from its other end if it
// is mirrored.
Axis AxisOf(int in, int out, int begin, int count, bool mirrored, ResizeFilter filter) {
  if (!mirrored) return MakeAxis(in, out, begin, count, filter);
  return MirroredAxis(MakeAxis(in, out, out - begin - count, count, filter), in);
}

// Samples of the largest window of an axis, or one more.
int64_t MostTaps(int in, int out, ResizeFilter filter) {
  const double shrink = std::max(1.0, static_cast<double>(in) / out);
  const double support = (filter == ResizeFilter::kBilinear ? 1.0 : 2.0) * shrink;
  return std::min<int64_t>(in, static_cast<int64_t>(2 * support) + 2);
}

size_t Bytes(int pixels) { return static_cast<size_t>(pixels) * 3; }

}  // namespace

void RowResizer::Ring::Reset(size_t row_bytes, int rows) {
  row_bytes_ = row_bytes;
  rows_ = rows;
  bytes_.reset(new uint8_t[row_bytes * static_cast<size_t>(rows)]);
}

RowResizer::RowResizer(const ResizeJob& job) : job_(job) {
  const StoredJob stored = Stored(job);
  const Region& region = stored.region;
  across_ = stored.across;
  down_ = stored.down;
  down_first_ = stored.down_first;
  needed_ = region;
  if (across_) {
    Axis axis = AxisOf(job.stored.width, stored.to.width, region.left, region.width,
                       stored.mirror_columns, job.filter);
    needed_.left = axis.source_begin();
    needed_.width = axis.source_end() - needed_.left;
    for (Window& window : axis.windows) window.first -= needed_.left;
    columns_ = Columns(std::move(axis));
  }
  if (down_) {
    axis_ = AxisOf(job.stored.height, stored.to.height, region.top, region.height,
                   stored.mirror_rows, job.filter);
    needed_.top = axis_.source_begin();
    needed_.height = axis_.source_end() - needed_.top;
    taps_.resize(static_cast<size_t>(axis_.most()));
  }
  out_ = Image(region.width, region.height);
  if (down_ && !down_first_) ring_.Reset(out_.stride(), axis_.most() + kAtOnce);
  if (down_first_ && across_) tall_.Reset(Bytes(needed_.width) + kReadBehind, kTall);
}

void RowResizer::Take(const PixelRows& rows) {
  const int end = std::min(rows.part.bottom(), needed_.bottom());
  int first = std::max(rows.part.top, needed_.top);
  if (down_first_) {
    if (first < end) TakeDown(rows, first, end);
    return;
  }
  for (; first < end; first += kAtOnce) TakeAcross(rows, first, std::min(end, first + kAtOnce));
}

const uint8_t* RowResizer::BeginOf(const PixelRows& rows, int y) const {
  return rows.row(y) + Bytes(needed_.left - rows.part.left);
}

void RowResizer::TakeAcross(const PixelRows& rows, int first, int end) {
  const int count = end - first;
  const size_t size = Bytes(needed_.width);
  const uint8_t* from[kAtOnce];
  uint8_t* outs[kAtOnce];
  for (int i = 0; i < count; ++i) {
    const int y = first + i;
    from[i] = BeginOf(rows, y);
    outs[i] = down_ ? ring_.row(y) : out_.row(y - needed_.top);
    if (!across_) {
      std::memcpy(outs[i], from[i], size);
    } else if (static_cast<size_t>(rows.end() - from[i]) + rows.readable < size + kReadBehind) {
      if (readable_.empty()) readable_.Reset(size + kReadBehind, kAtOnce);
      from[i] = static_cast<uint8_t*>(std::memcpy(readable_.row(y), from[i], size));
    }
  }
  if (across_) FastestResizePasses().horizontal(columns_, from, outs, count);
  for (; down_ && next_ < out_.height() && window().end() <= end; ++next_) {
    for (int k = 0; k < window().count; ++k) {
      taps_[static_cast<size_t>(k)] = ring_.row(window().first + k);
    }
    MakeRow(out_.row(next_));
  }
}

void RowResizer::TakeDown(const PixelRows& rows, int first, int end) {
  for (; next_ < out_.height() && window().end() <= end; ++next_) {
    for (int k = 0; k < window().count; ++k) {
      const int y = window().first + k;
      taps_[static_cast<size_t>(k)] = y < first ? ring_.row(y) : BeginOf(rows, y);
    }
    if (across_ && next_ - tall_begin_ == kTall) FinishTall();
    MakeRow(across_ ? tall_.row(next_) : out_.row(next_));
  }
  if (next_ == out_.height()) return;
  // The next row of the result wants some of these as well; it wants more than there are.
  for (int y = std::max(first, window().first); y < end; ++y) {
    if (ring_.empty()) ring_.Reset(Bytes(needed_.width), axis_.most());
    std::memcpy(ring_.row(y), BeginOf(rows, y), Bytes(needed_.width));
  }
}

void RowResizer::MakeRow(uint8_t* out) {
  const size_t size = down_first_ ? Bytes(needed_.width) : out_.stride();
  FastestResizePasses().vertical(taps_.data(), axis_.weights.data() + window().weights,
                                 window().count, size, out);
}

void RowResizer::FinishTall() {
  const uint8_t* from[kTall];
  uint8_t* outs[kTall];
  const int count = next_ - tall_begin_;
  for (int i = 0; i < count; ++i) {
    from[i] = tall_.row(tall_begin_ + i);
    outs[i] = out_.row(tall_begin_ + i);
  }
  FastestResizePasses().horizontal(columns_, from, outs, count);
  tall_begin_ = next_;
}

Image RowResizer::Finish() {
  if (down_first_ && across_) FinishTall();
  return ApplyOrientation(std::move(out_), job_.orientation);
}

int64_t RowResizer::MostBytes(const ResizeJob& job) {
  const StoredJob stored = Stored(job);
  const Region& region = stored.region;
  const int64_t result = int64_t{3} * region.width * region.height;
  int64_t bytes = job.orientation > 1 ? 2 * result : result;  // as stored, and turned
  int64_t wide = region.width;
  if (stored.across) {
    const int64_t taps = MostTaps(job.stored.width, stored.to.width, job.filter);
    const int begin = stored.mirror_columns ? stored.to.width - region.right() : region.left;
    wide = SourceSamples(job.stored.width, stored.to.width, begin, region.width, job.filter).count;
    bytes += 8 * (taps + 4) * region.width;  // weights are held twice, the second time by fours
  }
  if (stored.down) {
    const int64_t taps = MostTaps(job.stored.height, stored.to.height, job.filter);
    const int64_t row = 3 * (stored.down_first ? wide : region.width);
    bytes += 4 * taps * region.height + row * (taps + kAtOnce);
  }
  return bytes;
}

}  // namespace pixpool
