// A picture row by row, so that nobody has to hold all of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "server/image/image.h"

namespace pixpool {

// Some rows of a picture, one below the other, in memory that someone else holds: uint8 RGB, no
// padding between rows.
struct PixelRows {
  Region part;  // where they lie in the picture
  const uint8_t* data = nullptr;
  // Bytes behind the last row that may be read and mean nothing.
  size_t readable = 0;

  size_t stride() const { return static_cast<size_t>(part.width) * 3; }
  // A row by its number in the picture, part.top to part.bottom() - 1.
  const uint8_t* row(int y) const { return data + stride() * static_cast<size_t>(y - part.top); }
  const uint8_t* end() const { return row(part.bottom()); }
};

inline PixelRows RowsOf(const Image& image) {
  return {.part = image.part(), .data = image.data(), .readable = 0};
}

// A part of rows that hold at least that, as a picture of its own.
inline Image CropRows(const PixelRows& rows, const Region& part) {
  Image crop(part.width, part.height);
  for (int y = 0; y < part.height; ++y) {
    const uint8_t* const row = rows.row(part.top + y);
    std::memcpy(crop.row(y), row + static_cast<size_t>(part.left - rows.part.left) * 3,
                crop.stride());
  }
  return crop;
}

// Takes a picture as a decoder gives it: from the top, as it is stored. Used by one thread at a
// time; may throw std::bad_alloc. Until the decoder is at the end of the file nobody knows whether
// it has a picture, so what was made of the rows counts only then.
class RowSink {
 public:
  RowSink() = default;
  RowSink(const RowSink&) = delete;
  RowSink& operator=(const RowSink&) = delete;
  virtual ~RowSink() = default;

  // Once, before the first rows: what comes, and the picture that it is a part of.
  virtual void Begin([[maybe_unused]] const Region& part, [[maybe_unused]] Size whole) {}

  // The next rows, one or more. They are the decoder's again when it returns.
  virtual void Take(const PixelRows& rows) = 0;

  // In place of Begin and Take, from a decoder that had to hold the picture anyway.
  virtual void TakeAll(Image image) {
    Begin(image.part(), image.whole());
    Take(RowsOf(image));
  }
};

// Puts the rows together again.
class WholePicture final : public RowSink {
 public:
  void Begin(const Region& part, Size whole) override { image_ = Image(part, whole); }
  void Take(const PixelRows& rows) override {
    std::memcpy(image_.row(rows.part.top - image_.part().top), rows.data,
                rows.stride() * static_cast<size_t>(rows.part.height));
  }
  void TakeAll(Image image) override { image_ = std::move(image); }

  // The picture as it is stored, when all rows have come. Once.
  Image Finish() { return std::move(image_); }

 private:
  Image image_;
};

}  // namespace pixpool
