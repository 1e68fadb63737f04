// The regions of R-MAC. Torch-free.
#pragma once

#include <cstdint>
#include <vector>

#include "server/image/image.h"

namespace pixpool {

// The squares of one level: each row with each column.
struct RmacLevel {
  int64_t side = 0;
  std::vector<int64_t> rows;     // first row of cells of each square, rising
  std::vector<int64_t> columns;  // likewise; either may repeat where there is little room
};

// The squares that R-MAC pools on a map of h x w cells, level by level, each level row by row; the
// whole map, which R-MAC adds, is not among them. Level l has squares of side 2 min(h, w) / (l +
// 1), l of them along the shorter side and more along the longer, as many as bring the overlap of
// neighbours closest to `overlap` (to the nearest millionth; 0 to below 1). Rule and order are
// cirtorch's (filipradenovic/cnnimageretrieval-pytorch); the arithmetic is exact where that rounds
// to float32.
std::vector<RmacLevel> RmacLevels(int64_t h, int64_t w, int64_t levels, double overlap);

// The same, square by square.
std::vector<Region> RmacRegions(int64_t h, int64_t w, int64_t levels, double overlap);

}  // namespace pixpool
