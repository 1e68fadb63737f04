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

// The source samples under a filter, and where it is centred.
class Filter {
 public:
  Filter(int in, int out, ResizeFilter filter)
      : in_(in),
        scale_(static_cast<double>(in) / out),
        shrink_(std::max(scale_, 1.0)),
        inverse_(1.0 / shrink_),
        support_((filter == ResizeFilter::kBilinear ? 1.0 : 2.0) * shrink_),
        at_(filter == ResizeFilter::kBilinear ? Bilinear : Bicubic) {}

  double Center(int i) const { return (i + 0.5) * scale_; }
  int First(int i) const { return std::max(0, static_cast<int>(Center(i) - support_ + 0.5)); }
  int End(int i) const { return std::min(in_, static_cast<int>(Center(i) + support_ + 0.5)); }
  // Of source sample x, not normalised.
  double Weight(int i, int x) const { return at_((x - Center(i) + 0.5) * inverse_); }

 private:
  const int in_;
  const double scale_;
  const double shrink_;
  const double inverse_;
  const double support_;
  double (*const at_)(double);
};

}  // namespace

SampleRange SourceSamples(int in, int out, int begin, int count, ResizeFilter filter) {
  if (in == out) return {begin, count};
  const Filter f(in, out, filter);
  const int first = f.First(begin);
  return {first, f.End(begin + count - 1) - first};
}

Axis MakeAxis(int in, int out, int begin, int count, ResizeFilter filter) {
  const Filter f(in, out, filter);
  Axis axis;
  axis.windows.reserve(static_cast<size_t>(count));
  std::vector<double> w;
  for (int i = begin; i < begin + count; ++i) {
    const int first = f.First(i);
    const int end = f.End(i);
    w.clear();
    double sum = 0;
    for (int x = first; x < end; ++x) {
      w.push_back(f.Weight(i, x));
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

Axis MirroredAxis(const Axis& axis, int in) {
  Axis mirrored;
  mirrored.windows.reserve(axis.windows.size());
  mirrored.weights.reserve(axis.weights.size());
  for (auto window = axis.windows.rbegin(); window != axis.windows.rend(); ++window) {
    const int32_t* const weights = axis.weights.data() + window->weights;
    mirrored.windows.push_back({in - window->end(), window->count, mirrored.weights.size()});
    for (int k = window->count - 1; k >= 0; --k) mirrored.weights.push_back(weights[k]);
  }
  return mirrored;
}

int Axis::most() const {
  int most = 0;
  for (const Window& window : windows) most = std::max(most, window.count);
  return most;
}

}  // namespace pixpool
