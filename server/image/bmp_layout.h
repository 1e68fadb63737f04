// What the header of a BMP file says, in the terms in which its pixels are read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/image/palette.h"

namespace pixpool {

struct BmpLayout {
  uint32_t width = 0;
  uint32_t height = 0;
  bool top_down = false;
  size_t offset = 0;  // of the pixels
  size_t stride = 0;  // bytes from row to row; unused with RLE
  // How many bits a pixel has: 1, 4 or 8 for an index into the palette (1, 4 and 8 of them begin at
  // the high bits of a byte), 16, 24 or 32 for samples.
  int bits = 0;
  bool rle = false;   // the indices are run-length encoded
  bool rle4 = false;  // of four bits instead of eight
  Palette palette{};
  bool green_has_6_bits = false;  // of 16; else each colour has 5
  // The byte of each sample in a pixel of 24 or 32 bits; alpha: -1 where there is none.
  int red = 2;
  int green = 1;
  int blue = 0;
  int alpha = -1;
};

// Errors: IMAGE_UNDECODABLE; IMAGE_UNSUPPORTED_FORMAT for compressed pictures in it, for unusual
// depths and bit masks. Width and height are at least 1.
absl::StatusOr<BmpLayout> ReadBmpLayout(std::string_view bytes);

}  // namespace pixpool
