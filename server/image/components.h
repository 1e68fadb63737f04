// Connected parts of a mask.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace pixpool {

// Cells of a mask that hang together, flat y * width + x, in no particular order.
struct Component {
  std::vector<int> cells;
};

// The largest 8-connected part of the non-zero cells of a mask [height, width]; of several of the
// same size, the one whose first cell in scan order comes first. Empty where no cell is set.
Component LargestComponent(absl::Span<const uint8_t> mask, int height, int width);

}  // namespace pixpool
