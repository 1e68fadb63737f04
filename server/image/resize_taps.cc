#include "server/image/resize_taps.h"

#include <utility>

#include "server/image/resize_passes.h"

namespace pixpool {
namespace {

std::vector<Taps> SplitByFours(const Axis& axis) {
  std::vector<Taps> taps;
  for (const Window& window : axis.windows) {
    for (int k = 0; k < window.count; k += 4) {
      Taps& four = taps.emplace_back();
      for (int j = 0; j < 4; ++j) {
        const int32_t weight =
            k + j < window.count ? axis.weights[window.weights + static_cast<size_t>(k + j)] : 0;
        four.high[j] = HighPart(weight);
        four.low[j] = LowPart(weight);
      }
    }
  }
  return taps;
}

int32_t Join(int16_t first, int16_t second) {
  return static_cast<int32_t>(static_cast<uint16_t>(first)) |
         static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint16_t>(second)) << 16);
}

}  // namespace

Columns::Columns(Axis columns) : axis(std::move(columns)), taps(SplitByFours(axis)) {}

void HorizontalByFours(const Columns& columns, const uint8_t* const* rows, uint8_t* const* outs,
                       int count, RowsFunction four_rows, RowsFunction one_row) {
  int y = 0;
  for (; y + 4 <= count; y += 4) four_rows(columns, rows + y, outs + y);
  for (; y < count; ++y) one_row(columns, rows + y, outs + y);
}

void VerticalByBlocks(const uint8_t* const* rows, const int32_t* weights, int count, size_t size,
                      uint8_t* out, BlockFunction block) {
  if (size < kBlock) return PortableResizePasses().vertical(rows, weights, count, size, out);
  std::vector<Pair> pairs;
  pairs.reserve(static_cast<size_t>(count + 1) / 2);
  for (int k = 0; k < count; k += 2) {
    const bool whole = k + 1 < count;
    const int32_t second = whole ? weights[k + 1] : 0;
    pairs.push_back({{rows[k], rows[whole ? k + 1 : k]},
                     Join(HighPart(weights[k]), HighPart(second)),
                     Join(LowPart(weights[k]), LowPart(second))});
  }
  size_t x = 0;
  for (; x + kBlock <= size; x += kBlock) block(pairs, x, out + x);
  // The last block overlaps the one before it.
  if (x < size) block(pairs, size - kBlock, out + (size - kBlock));
}

}  // namespace pixpool
