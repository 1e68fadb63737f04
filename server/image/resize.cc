// Two passes of fixed-point convolution, as Pillow defines them: weights in double, rounded to 22
// fractional bits; sums in 32 bits; each pass rounded to 8 bits. Why not a library: OpenCV's resize
// has no antialiasing and is off by up to 81 levels; LibTorch's uint8 kernel has 16-bit weights and
// is off by up to 2, which moves embeddings by 2e-5 in cosine.
#include "server/image/resize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

// The hot loops are compiled for AVX2 too and chosen at load time; elsewhere the baseline has to
// do.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PIXPOOL_HOT __attribute__((target_clones("avx2", "default")))
#else
#define PIXPOOL_HOT
#endif

namespace pixpool {
namespace {

constexpr int kWeightBits = 22;
constexpr int32_t kHalf = 1 << (kWeightBits - 1);

double Bilinear(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double Bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// The source samples [first, first + count) that make one output sample, and where their weights
// start.
struct Window {
  int first = 0;
  int count = 0;
  size_t weights = 0;
};

// Windows of the output samples [begin, begin + windows.size()) along one axis.
struct Axis {
  std::vector<Window> windows;
  std::vector<int32_t> weights;

  int source_begin() const { return windows.front().first; }
  int source_end() const { return windows.back().first + windows.back().count; }
};

Axis MakeAxis(int in, int out, int begin, int count, ResizeFilter filter) {
  const double scale = static_cast<double>(in) / out;
  const double filter_scale = std::max(scale, 1.0);
  const double support = (filter == ResizeFilter::kBilinear ? 1.0 : 2.0) * filter_scale;
  const double inverse = 1.0 / filter_scale;
  Axis axis;
  axis.windows.reserve(static_cast<size_t>(count));
  std::vector<double> w;
  for (int i = begin; i < begin + count; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(center - support + 0.5));
    const int end = std::min(in, static_cast<int>(center + support + 0.5));
    w.clear();
    double sum = 0;
    for (int x = 0; x < end - first; ++x) {
      const double t = (x + first - center + 0.5) * inverse;
      w.push_back(filter == ResizeFilter::kBilinear ? Bilinear(t) : Bicubic(t));
      sum += w.back();
    }
    axis.windows.push_back({first, end - first, axis.weights.size()});
    for (double v : w) {
      if (sum != 0.0) v /= sum;
      v *= 1 << kWeightBits;
      axis.weights.push_back(static_cast<int32_t>(v < 0 ? v - 0.5 : v + 0.5));
    }
  }
  return axis;
}

inline uint8_t Clip(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

// A pixel as four 32-bit lanes; the fourth is idle.
typedef int32_t Lanes __attribute__((vector_size(16)));

// One output row: `wide` holds the source row from column axis.source_begin() on, a pixel in four
// lanes.
PIXPOOL_HOT void HorizontalRow(const Axis& axis, const int32_t* wide, uint8_t* out) {
  const int begin = axis.source_begin();
  for (const Window& window : axis.windows) {
    const int32_t* pixel = wide + static_cast<size_t>(window.first - begin) * 4;
    const int32_t* weight = axis.weights.data() + window.weights;
    Lanes even = {kHalf, kHalf, kHalf, kHalf};
    Lanes odd = {0, 0, 0, 0};
    int k = 0;
    for (; k + 1 < window.count; k += 2, pixel += 8) {
      Lanes a, b;
      std::memcpy(&a, pixel, sizeof(a));
      std::memcpy(&b, pixel + 4, sizeof(b));
      even += a * weight[k];
      odd += b * weight[k + 1];
    }
    if (k < window.count) {
      Lanes a;
      std::memcpy(&a, pixel, sizeof(a));
      even += a * weight[k];
    }
    even += odd;
    for (int c = 0; c < 3; ++c) *out++ = Clip(even[c]);
  }
}

PIXPOOL_HOT void Widen(const uint8_t* rgb, int count, int32_t* wide) {
  for (int i = 0; i < count; ++i) {
    wide[4 * i] = rgb[3 * i];
    wide[4 * i + 1] = rgb[3 * i + 1];
    wide[4 * i + 2] = rgb[3 * i + 2];
  }
}

// Columns `axis` of the rows [top, bottom) of `source`.
Image Horizontal(const Image& source, const Axis& axis, int top, int bottom) {
  Image out(static_cast<int>(axis.windows.size()), bottom - top);
  const int begin = axis.source_begin();
  const int count = axis.source_end() - begin;
  std::vector<int32_t> wide(static_cast<size_t>(count) * 4);
  for (int y = top; y < bottom; ++y) {
    Widen(source.row(y) + static_cast<size_t>(begin) * 3, count, wide.data());
    HorizontalRow(axis, wide.data(), out.row(y - top));
  }
  return out;
}

PIXPOOL_HOT void AddRow(const uint8_t* row, int32_t weight, int32_t* sums, size_t count) {
  for (size_t i = 0; i < count; ++i) sums[i] += row[i] * weight;
}

PIXPOOL_HOT void ClipRow(const int32_t* sums, uint8_t* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = Clip(sums[i]);
}

// Rows `axis` of the columns [left, left + width) of `source`, whose first row is row `source_top`
// of the axis.
Image Vertical(const Image& source, const Axis& axis, int source_top, int left, int width) {
  Image out(width, static_cast<int>(axis.windows.size()));
  const size_t count = static_cast<size_t>(width) * 3;
  std::vector<int32_t> sums(count);
  for (int y = 0; y < out.height(); ++y) {
    const Window& window = axis.windows[static_cast<size_t>(y)];
    std::fill(sums.begin(), sums.end(), kHalf);
    for (int k = 0; k < window.count; ++k) {
      const uint8_t* row =
          source.row(window.first + k - source_top) + static_cast<size_t>(left) * 3;
      AddRow(row, axis.weights[window.weights + static_cast<size_t>(k)], sums.data(), count);
    }
    ClipRow(sums.data(), out.row(y), count);
  }
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

}  // namespace

Image ResizeRegion(const Image& source, int width, int height, Region region, ResizeFilter filter) {
  const bool across = width != source.width();
  const bool down = height != source.height();
  if (!across && !down) return Crop(source, region);
  const Axis columns =
      across ? MakeAxis(source.width(), width, region.left, region.width, filter) : Axis();
  const Axis rows =
      down ? MakeAxis(source.height(), height, region.top, region.height, filter) : Axis();
  if (!down) return Horizontal(source, columns, region.top, region.top + region.height);
  if (!across) return Vertical(source, rows, 0, region.left, region.width);
  if (VerticalFirst(source.width(), source.height(), width, height)) {
    const int begin = columns.source_begin();
    const Image shrunk = Vertical(source, rows, 0, begin, columns.source_end() - begin);
    Axis shifted = columns;
    for (Window& window : shifted.windows) window.first -= begin;
    return Horizontal(shrunk, shifted, 0, shrunk.height());
  }
  const Image narrow = Horizontal(source, columns, rows.source_begin(), rows.source_end());
  return Vertical(narrow, rows, rows.source_begin(), 0, narrow.width());
}

}  // namespace pixpool
