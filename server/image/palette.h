// Colours by number, shared by the formats that carry palettes.
#pragma once

#include <array>
#include <cstdint>

namespace pixpool {

using Color = std::array<uint8_t, 3>;  // RGB

// Entries that a file does not have are black, as in Pillow.
using Palette = std::array<Color, 256>;

inline Palette GreyPalette() {
  Palette grey{};
  for (size_t i = 0; i < grey.size(); ++i) grey[i].fill(static_cast<uint8_t>(i));
  return grey;
}

}  // namespace pixpool
