// A resize by rows is the resize of the whole picture, turned upright first, byte for byte.
#include "server/image/row_resizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "server/image/decode.h"
#include "tests/unit/image/parts.h"

namespace pixpool {
namespace {

// ---- Pillow's two passes over a picture in memory, as plain as they can be written

uint8_t Sample(const Image& image, const Window& window, const Axis& axis, int across, int c,
               bool rows) {
  int64_t sum = kWeightHalf;
  for (int k = 0; k < window.count; ++k) {
    const int at = window.first + k;
    const uint8_t* const pixel =
        rows ? image.row(at) + size_t{3} * across : image.row(across) + size_t{3} * at;
    sum += int64_t{axis.weights[window.weights + static_cast<size_t>(k)]} * pixel[c];
  }
  return static_cast<uint8_t>(std::clamp<int64_t>(sum >> kWeightBits, 0, 255));
}

Image Plain(const Image& image, int to, bool rows, ResizeFilter filter) {
  const int from = rows ? image.height() : image.width();
  if (from == to) return CopyImage(image);
  const Axis axis = MakeAxis(from, to, 0, to, filter);
  Image out = rows ? Image(image.width(), to) : Image(to, image.height());
  for (int y = 0; y < out.height(); ++y) {
    for (int x = 0; x < out.width(); ++x) {
      const Window& window = axis.windows[static_cast<size_t>(rows ? y : x)];
      for (int c = 0; c < 3; ++c) {
        out.row(y)[3 * x + c] = Sample(image, window, axis, rows ? x : y, c, rows);
      }
    }
  }
  return out;
}

Image PlainResize(const Image& image, Size to, ResizeFilter filter) {
  const int fewer_rows = image.height() - to.height;
  const bool rows_first = fewer_rows > 0 && fewer_rows > 2 * (image.width() - to.width);
  const Image first = Plain(image, rows_first ? to.height : to.width, rows_first, filter);
  return Plain(first, rows_first ? to.width : to.height, !rows_first, filter);
}

// ----

class RowResizerTest : public ::testing::Test {
 protected:
  int Draw(int low, int high) { return std::uniform_int_distribution(low, high)(random_); }

  Image Noise(Size size) {
    Image image(size.width, size.height);
    for (size_t i = 0; i < image.byte_size(); ++i) {
      const auto bits = random_();
      image.data()[i] =
          (bits & 0x100) != 0 ? ((bits & 0x200) != 0 ? 255 : 0) : static_cast<uint8_t>(bits);
    }
    return image;
  }

  // Gives a picture in blocks of any height, of the columns of `held` and a few more, each in
  // memory of its own that ends where it may be read no farther.
  void Feed(const Image& image, const Region& held, RowSink* sink) {
    const int left = Draw(0, held.left);
    const int right = Draw(held.right(), image.width());
    int top = Draw(0, 1) == 0 ? 0 : held.top;
    const int bottom = Draw(0, 1) == 0 ? image.height() : held.bottom();
    const int most = Draw(1, 40);
    sink->Begin({left, top, right - left, bottom - top}, image.whole());
    while (top < bottom) {
      const int count = Draw(1, std::min(most, bottom - top));
      const Image block = testing::CopyPart(image, {left, top, right - left, count});
      const size_t readable = Draw(0, 1) == 0 ? 0 : 16;
      const std::unique_ptr<uint8_t[]> copy(new uint8_t[block.byte_size() + readable]);
      std::memcpy(copy.get(), block.data(), block.byte_size());
      sink->Take({.part = block.part(), .data = copy.get(), .readable = readable});
      top += count;
    }
  }

  std::mt19937 random_{20261129};
};

TEST_F(RowResizerTest, EveryOrientationSizeRegionAndFilter) {
  int turned_first = 0;
  constexpr int kJobs = 6000;
  for (int n = 0; n < kJobs; ++n) {
    ResizeJob job;
    job.stored = {Draw(1, Draw(0, 9) == 0 ? 700 : 90), Draw(1, Draw(0, 9) == 0 ? 700 : 90)};
    job.orientation = Draw(1, 8);
    job.to = {Draw(1, 90), Draw(1, 90)};
    const Size upright = UprightSize(job.stored, job.orientation);
    if (Draw(0, 4) == 0) job.to.width = upright.width;  // an axis that keeps its size
    if (Draw(0, 4) == 0) job.to.height = upright.height;
    job.region = testing::RandomPart(job.to, random_);
    job.filter = Draw(0, 1) == 0 ? ResizeFilter::kBilinear : ResizeFilter::kBicubic;
    if (SwapsAxes(job.orientation)) ++turned_first;

    const Image stored = Noise(job.stored);
    const Image whole =
        PlainResize(ApplyOrientation(CopyImage(stored), job.orientation), job.to, job.filter);
    const Image expected = testing::CopyPart(whole, job.region);

    RowResizer resizer(job);
    const Region needed =
        OrientRegion(SourceRegion(upright, job.to.width, job.to.height, job.region, job.filter),
                     upright, InverseOrientation(job.orientation));
    Feed(stored, needed, &resizer);
    const Image got = resizer.Finish();
    ASSERT_EQ(got.whole(), (Size{job.region.width, job.region.height}));
    ASSERT_EQ(got.byte_size(), expected.byte_size());
    ASSERT_EQ(std::memcmp(got.data(), expected.data(), expected.byte_size()), 0)
        << n << ": " << job.stored.width << "x" << job.stored.height << " turned by "
        << job.orientation << " to " << job.to.width << "x" << job.to.height << ", region "
        << job.region.left << "," << job.region.top << " " << job.region.width << "x"
        << job.region.height;
  }
  EXPECT_GT(turned_first, 1000);
}

// Phones' own sizes: windows of many taps, and pictures that are wider than a block.
TEST_F(RowResizerTest, LargePictures) {
  for (const Size size : {Size{2016, 1512}, Size{1512, 2016}, Size{3000, 400}, Size{400, 3000}}) {
    const Image stored = Noise(size);
    for (int orientation = 1; orientation <= 8; ++orientation) {
      const Image upright = ApplyOrientation(CopyImage(stored), orientation);
      for (const Size to : {Size{224, 224}, Size{341, 256}, Size{80, 900}}) {
        const ResizeJob job = {.stored = size,
                               .orientation = orientation,
                               .to = to,
                               .region = {9, 16, 60, 224 - 16},
                               .filter = ResizeFilter::kBicubic};
        const Image expected = testing::CopyPart(PlainResize(upright, to, job.filter), job.region);
        RowResizer resizer(job);
        Feed(stored, {0, 0, size.width, size.height}, &resizer);
        const Image got = resizer.Finish();
        ASSERT_EQ(std::memcmp(got.data(), expected.data(), expected.byte_size()), 0)
            << size.width << "x" << size.height << ", " << orientation << ", " << to.width;
      }
    }
  }
}

}  // namespace
}  // namespace pixpool
