#include "server/image/resize_passes.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace pixpool {
namespace {

inline uint8_t Clip(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

// A pixel as four 32-bit lanes; the fourth is idle.
typedef int32_t Lanes __attribute__((vector_size(16)));

// One output row: `wide` holds the source row from column axis.source_begin() on, a pixel in four
// lanes.
void HorizontalRow(const Axis& axis, const int32_t* wide, uint8_t* out) {
  const int begin = axis.source_begin();
  for (const Window& window : axis.windows) {
    const int32_t* pixel = wide + static_cast<size_t>(window.first - begin) * 4;
    const int32_t* weight = axis.weights.data() + window.weights;
    Lanes even = {kWeightHalf, kWeightHalf, kWeightHalf, kWeightHalf};
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

void Widen(const uint8_t* rgb, int count, int32_t* wide) {
  for (int i = 0; i < count; ++i) {
    wide[4 * i] = rgb[3 * i];
    wide[4 * i + 1] = rgb[3 * i + 1];
    wide[4 * i + 2] = rgb[3 * i + 2];
  }
}

void Horizontal(const Columns& columns, const uint8_t* const* rows, uint8_t* const* outs,
                int count) {
  const int begin = columns.axis.source_begin();
  const int width = columns.axis.source_end() - begin;
  std::vector<int32_t> wide(static_cast<size_t>(width) * 4);
  for (int y = 0; y < count; ++y) {
    Widen(rows[y] + static_cast<size_t>(begin) * 3, width, wide.data());
    HorizontalRow(columns.axis, wide.data(), outs[y]);
  }
}

void AddRow(const uint8_t* row, int32_t weight, int32_t* sums, size_t count) {
  for (size_t i = 0; i < count; ++i) sums[i] += row[i] * weight;
}

void ClipRow(const int32_t* sums, uint8_t* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = Clip(sums[i]);
}

void Vertical(const uint8_t* const* rows, const int32_t* weights, int count, size_t size,
              uint8_t* out) {
  std::vector<int32_t> sums(size, kWeightHalf);
  for (int k = 0; k < count; ++k) AddRow(rows[k], weights[k], sums.data(), size);
  ClipRow(sums.data(), out, size);
}

}  // namespace

const ResizePasses& PortableResizePasses() {
  static constexpr ResizePasses kPasses = {"portable", Horizontal, Vertical};
  return kPasses;
}

const ResizePasses& FastestResizePasses() {
  static const ResizePasses& passes = Avx512ResizePasses() != nullptr ? *Avx512ResizePasses()
                                      : Avx2ResizePasses() != nullptr ? *Avx2ResizePasses()
                                                                      : PortableResizePasses();
  return passes;
}

}  // namespace pixpool
