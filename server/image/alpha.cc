#include "server/image/alpha.h"

#include <cstddef>
#include <cstring>

namespace pixpool {

void CompositeRow(const uint8_t* rgba, int width, const std::array<uint8_t, 3>& background,
                  uint8_t* rgb) {
  for (int x = 0; x < width; ++x, rgba += 4, rgb += 3) {
    const unsigned alpha = rgba[3];
    for (int c = 0; c < 3; ++c) {
      const unsigned sum = rgba[c] * alpha + background[c] * (255 - alpha) + 128;
      rgb[c] = static_cast<uint8_t>((sum + (sum >> 8)) >> 8);  // sum / 255 without a division
    }
  }
}

void DropAlphaRow(const uint8_t* rgba, int width, uint8_t* rgb) {
  // Four bytes at a time, of which the next pixel overwrites the last; there is none behind the
  // last pixel.
  for (int x = 0; x + 1 < width; ++x, rgba += 4, rgb += 3) {
    uint32_t pixel;
    std::memcpy(&pixel, rgba, sizeof(pixel));
    std::memcpy(rgb, &pixel, sizeof(pixel));
  }
  if (width > 0) std::memmove(rgb, rgba, 3);
}

void FillRow(int width, const std::array<uint8_t, 3>& color, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, rgb += 3) {
    rgb[0] = color[0];
    rgb[1] = color[1];
    rgb[2] = color[2];
  }
}

bool HiddenColors::IsHidden(const uint8_t* color, int alpha) {
  const int upper_bits = color[0] & color[1] & color[2] & 0xc0;  // both are set from 192 on
  return alpha < 128 && upper_bits != 0xc0;
}

void HiddenColors::LookAt(const uint8_t* rgba, int width) {
  int hidden = 0;
  for (int x = 0; x < width; ++x, rgba += 4) hidden += IsHidden(rgba, rgba[3]) ? 1 : 0;
  hidden_ += hidden;
  seen_ += width;
}

void HiddenColors::LookAt(const std::array<uint8_t, 3>& color, int64_t transparent, int64_t all) {
  if (IsHidden(color.data(), 0)) hidden_ += transparent;
  seen_ += all;
}

}  // namespace pixpool
