// What a GIF file says of its first frame.
#pragma once

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/image/image.h"
#include "server/image/palette.h"

namespace pixpool {

struct GifLayout {
  Size canvas;   // of the screen, or larger where the frame reaches beyond it
  Region frame;  // within the canvas
  bool interlaced = false;
  Palette palette{};
  int transparent = -1;  // index of what is transparent; -1: nothing is
  int first_bits = 0;    // bits of the indices, before the code size grows
  size_t data = 0;       // where the blocks with the codes begin
};

// Walks the blocks up to the first frame's data. Errors: IMAGE_UNDECODABLE. All sides are at least
// 1. One pass; any bytes are safe.
absl::StatusOr<GifLayout> ReadGifLayout(std::string_view bytes);

}  // namespace pixpool
