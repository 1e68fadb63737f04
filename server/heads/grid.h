// What the heads that lay a grid over the map share. The windows of a grid overlap by one cell at
// most on each axis.
#pragma once

#include <cstdint>
#include <string_view>

#include "server/heads/heads.h"

namespace pixpool {

inline constexpr std::string_view kGridCost = "each value once, and the rows that windows share";

// Map values that a grid of rows x columns reads on a map [c, h, w], roughly.
double GridReads(int64_t c, int64_t h, int64_t w, int64_t rows, int64_t columns);

// Columns of the heads with an output_size.
int64_t GridValueCount(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);
double GridOperations(const HeadSpec& spec, int64_t c, int64_t h, int64_t w);

}  // namespace pixpool
