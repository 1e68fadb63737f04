// How the pixels of a TIFF file are laid out, of those that the server decodes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/image/palette.h"
#include "server/image/tiff_file.h"

namespace pixpool {

struct TiffLayout {
  enum class Colors { kGrey, kRgb, kCmyk, kPalette };

  uint32_t width = 0;
  uint32_t height = 0;
  int orientation = 1;
  Colors colors = Colors::kGrey;
  int bits = 8;     // of a sample: 1, 2, 4, 8 or 16
  int samples = 1;  // of a pixel, with those that are passed over
  int alpha = -1;   // which sample is alpha; -1: none
  bool premultiplied = false;
  bool inverted = false;  // 0 is white
  bool separate = false;  // a plane for each sample
  Palette palette{};
};

// The layout of the first page, where it is one that Pillow reads and that has 8 bits a colour or
// 16 (of 16 the upper 8 count). Sets up the file for reading. Errors: IMAGE_UNDECODABLE;
// IMAGE_UNSUPPORTED_FORMAT for other layouts and for camera raw, whose first page is a preview.
absl::StatusOr<TiffLayout> ReadTiffLayout(std::string_view bytes, const TiffFile& file);

}  // namespace pixpool
