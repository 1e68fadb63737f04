#include "server/image/alpha.h"

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

void FillRow(int width, const std::array<uint8_t, 3>& color, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, rgb += 3) {
    rgb[0] = color[0];
    rgb[1] = color[1];
    rgb[2] = color[2];
  }
}

}  // namespace pixpool
