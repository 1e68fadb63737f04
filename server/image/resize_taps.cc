#include "server/image/resize_taps.h"

#include <cstring>

#include "server/image/resize_passes.h"

namespace pixpool {
namespace {

// Bytes that a load of four pixels may read behind the row's end.
constexpr size_t kPadding = 16;

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

void HorizontalByFours(const Image& source, const Axis& axis, int top, Image* out,
                       RowsFunction four_rows, RowsFunction one_row) {
  constexpr int kRows = 4;
  const std::vector<Taps> taps = SplitByFours(axis);
  const size_t row_bytes = source.stride() + kPadding;
  std::vector<uint8_t> padded;
  for (int y = 0; y < out->height(); y += kRows) {
    const int count = out->height() - y < kRows ? out->height() - y : kRows;
    // Behind the last rows of the picture there is nothing that may be read.
    const size_t end = source.stride() * static_cast<size_t>(top + y + count);
    const bool last = end + kPadding > source.byte_size();
    if (last) padded.assign(row_bytes * static_cast<size_t>(count), 0);
    const uint8_t* rows[kRows];
    uint8_t* outs[kRows];
    for (int r = 0; r < count; ++r) {
      rows[r] = source.row(top + y + r);
      outs[r] = out->row(y + r);
      if (!last) continue;
      uint8_t* const copy = padded.data() + row_bytes * static_cast<size_t>(r);
      std::memcpy(copy, rows[r], source.stride());
      rows[r] = copy;
    }
    if (count == kRows) {
      four_rows(axis, taps, rows, outs);
    } else {
      for (int r = 0; r < count; ++r) one_row(axis, taps, rows + r, outs + r);
    }
  }
}

void VerticalByBlocks(const Image& source, const Axis& axis, int source_top, int left, Image* out,
                      BlockFunction block) {
  const size_t count = out->stride();
  if (count < kBlock) return PortableResizePasses().vertical(source, axis, source_top, left, out);
  std::vector<Pair> pairs;
  for (int y = 0; y < out->height(); ++y) {
    const Window& window = axis.windows[static_cast<size_t>(y)];
    const int32_t* const weights = axis.weights.data() + window.weights;
    const auto row = [&](int k) {
      return source.row(window.first + k - source_top) + static_cast<size_t>(left) * 3;
    };
    pairs.clear();
    for (int k = 0; k < window.count; k += 2) {
      const bool whole = k + 1 < window.count;
      const int32_t second = whole ? weights[k + 1] : 0;
      pairs.push_back({{row(k), row(whole ? k + 1 : k)},
                       Join(HighPart(weights[k]), HighPart(second)),
                       Join(LowPart(weights[k]), LowPart(second))});
    }
    size_t x = 0;
    for (; x + kBlock <= count; x += kBlock) block(pairs, x, out->row(y) + x);
    // The last block overlaps the one before it.
    if (x < count) block(pairs, count - kBlock, out->row(y) + (count - kBlock));
  }
}

}  // namespace pixpool
