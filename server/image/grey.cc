#include "server/image/grey.h"

#include <cstddef>

namespace pixpool {

void ToGrey(const uint8_t* rgb, int pixels, uint8_t* to) {
  for (size_t i = 0; i < static_cast<size_t>(pixels) * 3; i += 3) {
    // 0.299, 0.587 and 0.114 in 65,536ths, whose sum is exactly one: grey stays as it is.
    const uint32_t luma = 19595u * rgb[i] + 38470u * rgb[i + 1] + 7471u * rgb[i + 2];
    const auto level = static_cast<uint8_t>((luma + 0x8000u) >> 16);
    to[i] = to[i + 1] = to[i + 2] = level;
  }
}

}  // namespace pixpool
