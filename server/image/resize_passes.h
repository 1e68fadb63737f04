// The two passes of a resize: one along the rows, one along the columns, each rounded to 8 bits.
#pragma once

#include "server/image/image.h"
#include "server/image/resize_axis.h"

namespace pixpool {

// One way to compute them. All give the same bytes.
struct ResizePasses {
  const char* name;
  // Columns `axis` of the rows [top, top + out->height()) of `source`.
  void (*horizontal)(const Image& source, const Axis& axis, int top, Image* out);
  // Rows `axis` of the columns [left, left + out->width()) of `source`, whose first row is row
  // `source_top` of the axis.
  void (*vertical)(const Image& source, const Axis& axis, int source_top, int left, Image* out);
};

// In plain C++.
const ResizePasses& PortableResizePasses();
// With AVX2; nullptr where this processor has none.
const ResizePasses* Avx2ResizePasses();
// With AVX-512 VNNI; likewise.
const ResizePasses* Avx512ResizePasses();

}  // namespace pixpool
