// A resize that takes its picture row by row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "server/image/resize.h"
#include "server/image/resize_axis.h"
#include "server/image/resize_taps.h"
#include "server/image/rows.h"

namespace pixpool {

// What is to be made of a picture: it is turned upright, resized and cropped, in this order.
struct ResizeJob {
  Size stored;          // of the whole picture, as its rows come
  int orientation = 1;  // as EXIF numbers them
  Size to;              // of the whole result, upright; both sides at least 1
  Region region;        // the part of it that is wanted; not empty
  ResizeFilter filter = ResizeFilter::kBicubic;
};

// Does a job, and holds no more of the picture than the rows that a row of the result is made of:
// those as narrow as the result where Pillow begins with the columns, else as wide as the picture.
// The bytes are those of ApplyOrientation and then ResizeRegion, whichever way the picture is
// stored: a turned picture is resized as it lies, with the passes in the order that they would have
// upright and the weights mirrored, and what comes out is turned. Not thread-safe.
class RowResizer final : public RowSink {
 public:
  explicit RowResizer(const ResizeJob& job);

  // Rows may hold any columns that the result needs (SourceRegion). Those that it does not need are
  // passed over.
  void Take(const PixelRows& rows) override;

  // The region, upright, when all rows that it needs have come. Once.
  Image Finish();

  // Bytes that it holds at most.
  static int64_t MostBytes(const ResizeJob& job);

 private:
  // Some rows by their numbers, of which no more than `rows` in a row are held.
  class Ring {
   public:
    void Reset(size_t row_bytes, int rows);
    bool empty() const { return bytes_ == nullptr; }
    uint8_t* row(int y) { return bytes_.get() + row_bytes_ * static_cast<size_t>(y % rows_); }

   private:
    size_t row_bytes_ = 0;
    int rows_ = 0;
    std::unique_ptr<uint8_t[]> bytes_;
  };

  // The columns' pass, where there is one, over the rows [first, end) of what came; then that of
  // the rows, as far as they are there.
  void TakeAcross(const PixelRows& rows, int first, int end);
  // The rows' pass as far as the rows before `end` are there; then that of the columns.
  void TakeDown(const PixelRows& rows, int first, int end);
  const Window& window() const { return axis_.windows[static_cast<size_t>(next_)]; }
  // Makes the next row of the result's height from `taps_`.
  void MakeRow(uint8_t* out);
  void FinishTall();
  // Where the needed columns of a row begin.
  const uint8_t* BeginOf(const PixelRows& rows, int y) const;

  const ResizeJob job_;
  // Everything below is along the axes of the stored picture.
  Columns columns_;  // of the needed ones, if across_
  Axis axis_;        // of the rows, if down_
  bool across_ = false;
  bool down_ = false;
  bool down_first_ = false;
  Region needed_;  // of the picture
  Image out_;
  int next_ = 0;  // row of the result
  // Rows that later ones of the result are made of: of its width, or with down_first_ of the
  // picture's.
  Ring ring_;
  std::vector<const uint8_t*> taps_;  // the rows that one is made of
  // With down_first_, rows of the picture's width and the result's height, from tall_begin_ to
  // next_, that wait for the columns' pass.
  Ring tall_;
  int tall_begin_ = 0;
  Ring readable_;  // copies of rows behind which there is nothing that may be read
};

}  // namespace pixpool
