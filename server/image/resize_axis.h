// Which source samples make an output sample, and with which weights: Pillow's, in fixed point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/image/resize.h"

namespace pixpool {

// Fractional bits of a weight. Sums have 32 bits: 8 of a sample, 22 of the weights, which add up to
// one, and room for a cubic's overshoot.
inline constexpr int kWeightBits = 22;
// What rounds a sum to nearest.
inline constexpr int32_t kWeightHalf = 1 << (kWeightBits - 1);

// The source samples [first, first + count) that make one output sample, and where their weights
// start.
struct Window {
  int first = 0;
  int count = 0;
  size_t weights = 0;
  int end() const { return first + count; }
};

// Windows of some consecutive output samples along one axis. Where they begin and end rises.
struct Axis {
  std::vector<Window> windows;
  std::vector<int32_t> weights;

  int source_begin() const { return windows.front().first; }
  int source_end() const { return windows.back().end(); }
  // The samples of the largest window.
  int most() const;
};

// A run of samples.
struct SampleRange {
  int first = 0;
  int count = 0;
};

// The source samples that the output samples [begin, begin + count) are made of.
SampleRange SourceSamples(int in, int out, int begin, int count, ResizeFilter filter);

// The output samples [begin, begin + count) of an axis that goes from `in` samples to `out`.
Axis MakeAxis(int in, int out, int begin, int count, ResizeFilter filter);

// The same axis where the samples on both sides are counted from their other end: with it a
// mirrored picture comes out mirrored, and otherwise as it would have. Weights are whole numbers,
// so that it does not matter in which order they are added up.
Axis MirroredAxis(const Axis& axis, int in);

}  // namespace pixpool
