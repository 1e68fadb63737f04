#include "server/image/resize_axis.h"

#include <algorithm>
#include <cmath>

namespace pixpool {
namespace {

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

}  // namespace

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

}  // namespace pixpool
