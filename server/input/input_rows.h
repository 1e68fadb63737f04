// The network's input from a picture that comes row by row.
#pragma once

#include <cstdint>
#include <vector>

#include "server/image/image.h"
#include "server/image/row_resizer.h"
#include "server/image/rows.h"
#include "server/input/geometry.h"
#include "server/input/preprocess.h"

namespace pixpool {

// A picture whose rows come.
struct RowsSource {
  Size stored;          // of all of it, as its rows come
  int orientation = 1;  // that turns it upright
  Size full;            // what the file says, upright: larger after a decode at a reduced scale
};

// Makes the input of one scale, and holds no more of the picture than the resize does. The result
// is Preprocess's of the upright picture. Not thread-safe.
class InputRows final : public RowSink {
 public:
  InputRows(const InputPlan& plan, const RowsSource& source);

  // Of rows that hold at least the columns of NeededRegion, as it lies in the stored picture.
  void Take(const PixelRows& rows) override;

  // The input, when all rows of NeededRegion have come. Once.
  Image Finish();

  // Bytes that it holds at most, the input among them.
  static int64_t MostBytes(const InputPlan& plan, const RowsSource& source);

 private:
  const Geometry geometry_;
  const bool grey_;
  RowResizer resizer_;
  std::vector<uint8_t> grey_rows_;
};

}  // namespace pixpool
