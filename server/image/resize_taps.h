// What the passes with 16-bit multiplications of two taps share. A weight does not fit 16 bits, so
// it is split: weight = high * 2^11 + low, 0 <= low < 2^11. Sums of both parts are kept apart and
// joined at the end. All of it is arithmetic modulo 2^32, so the result is that of the 32-bit sum
// whatever the parts do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "server/image/resize_axis.h"

namespace pixpool {

inline constexpr int kLowBits = 11;

inline int16_t HighPart(int32_t weight) { return static_cast<int16_t>(weight >> kLowBits); }
inline int16_t LowPart(int32_t weight) {
  return static_cast<int16_t>(weight & ((1 << kLowBits) - 1));
}

// ---- along the rows

// A row's weights for four taps: the high parts, then the low ones. Taps that a window lacks weigh
// nothing.
struct Taps {
  int16_t high[4], low[4];
};
static_assert(sizeof(Taps) == 16);

// An axis along the rows, made ready once for all of them.
struct Columns {
  Columns() = default;
  explicit Columns(Axis columns);
  Axis axis;
  std::vector<Taps> taps;  // of all windows, one window after the other
};

// Computes the pixels of an axis in one row or four.
using RowsFunction = void (*)(const Columns& columns, const uint8_t* const* rows,
                              uint8_t* const* outs);

// ResizePasses::horizontal, four rows at once where there are four, so that a weight is loaded once
// for all of them.
void HorizontalByFours(const Columns& columns, const uint8_t* const* rows, uint8_t* const* outs,
                       int count, RowsFunction four_rows, RowsFunction one_row);

// ---- along the columns

// Two taps, as the pair that one multiplication takes: the first in the lower 16 bits.
struct Pair {
  const uint8_t* rows[2];
  int32_t high, low;
};

// Computes the bytes [0, 32) of an output row from those at `offset` of the pairs' rows; all of
// them may be read and written.
using BlockFunction = void (*)(const std::vector<Pair>& pairs, size_t offset, uint8_t* out);

inline constexpr size_t kBlock = 32;

// ResizePasses::vertical, for rows of at least a block; narrower ones are left to plain C++.
void VerticalByBlocks(const uint8_t* const* rows, const int32_t* weights, int count, size_t size,
                      uint8_t* out, BlockFunction block);

}  // namespace pixpool
