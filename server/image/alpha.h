// Compositing, shared by the formats that carry alpha.
#pragma once

#include <array>
#include <cstdint>

namespace pixpool {

// Writes `width` RGB pixels: straight-alpha RGBA over an opaque colour, rounded to the nearest
// level (Pillow's Image.paste with the alpha as mask does the same).
void CompositeRow(const uint8_t* rgba, int width, const std::array<uint8_t, 3>& background,
                  uint8_t* rgb);

// Writes `width` pixels of one colour.
void FillRow(int width, const std::array<uint8_t, 3>& color, uint8_t* rgb);

}  // namespace pixpool
