// For codecs that have their pixels row by row.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "server/image/rows.h"

namespace pixpool {

// Room for a few rows, which go to a sink together: that costs less than one by one.
class RowBlock {
 public:
  // Rows of `part` of a picture of size `whole`, all of which will come.
  RowBlock(const Region& part, Size whole, RowSink* sink)
      : part_(part),
        sink_(sink),
        rows_(std::min(part.height, kRows)),
        pixels_(new uint8_t[stride() * static_cast<size_t>(rows_) + kReadable]) {
    sink->Begin(part, whole);
  }

  // Room for the next rows, at most `most` and not more than are left: uninitialised, all in one
  // piece. What was given before is full by then.
  uint8_t* Next(int most, int* count) {
    if (filled_ == rows_) Give();
    *count = std::min({most, rows_ - filled_, part_.height - given_ - filled_});
    uint8_t* const room = pixels_.get() + stride() * static_cast<size_t>(filled_);
    filled_ += *count;
    return room;
  }
  uint8_t* Next() {
    int one = 0;
    return Next(1, &one);
  }

  // Gives the sink what it has not got yet.
  void Finish() {
    if (filled_ > 0) Give();
  }

  size_t stride() const { return static_cast<size_t>(part_.width) * 3; }
  // Rows for which there was room.
  int rows() const { return given_ + filled_; }

  // Rows that go to the sink at a time.
  static constexpr int kRows = 16;

  // What a block of such rows holds at most.
  static int64_t MostBytes(int width) { return int64_t{3} * width * kRows + kReadable; }

 private:
  // Behind the last row, so that the resize need not copy rows.
  static constexpr size_t kReadable = 16;

  void Give() {
    sink_->Take({.part = {part_.left, part_.top + given_, part_.width, filled_},
                 .data = pixels_.get(),
                 .readable = kReadable});
    given_ += filled_;
    filled_ = 0;
  }

  const Region part_;
  RowSink* const sink_;
  const int rows_;
  const std::unique_ptr<uint8_t[]> pixels_;
  int given_ = 0;
  int filled_ = 0;
};

}  // namespace pixpool
