// The two passes of a resize: one along the rows, one along the columns, each rounded to 8 bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "server/image/resize_axis.h"
#include "server/image/resize_taps.h"

namespace pixpool {

// Bytes behind the last pixel of a row that ResizePasses::horizontal may read.
inline constexpr size_t kReadBehind = 16;

// One way to compute them. All give the same bytes.
struct ResizePasses {
  const char* name;
  // The columns of `count` rows, each to the row of the same place in `outs`.
  void (*horizontal)(const Columns& columns, const uint8_t* const* rows, uint8_t* const* outs,
                     int count);
  // One row of `size` bytes, from `count` rows with a weight each.
  void (*vertical)(const uint8_t* const* rows, const int32_t* weights, int count, size_t size,
                   uint8_t* out);
};

// In plain C++.
const ResizePasses& PortableResizePasses();
// With AVX2; nullptr where this processor has none.
const ResizePasses* Avx2ResizePasses();
// With AVX-512 VNNI; likewise.
const ResizePasses* Avx512ResizePasses();
// The fastest that this processor has.
const ResizePasses& FastestResizePasses();

}  // namespace pixpool
