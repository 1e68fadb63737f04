// Parts of pictures, for tests.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>

#include "server/image/image.h"

namespace pixpool::testing {

// A part of a whole picture, as a decoder would give it.
inline Image CopyPart(const Image& whole, const Region& part) {
  Image copy(part, whole.whole());
  for (int y = 0; y < part.height; ++y) {
    std::memcpy(copy.row(y), whole.row(part.top + y) + static_cast<size_t>(part.left) * 3,
                copy.stride());
  }
  return copy;
}

// Whether `image`, a part of a picture or all of it, has the pixels of `whole` in `region`.
inline bool HasPixels(const Image& image, const Image& whole, const Region& region) {
  const Region& held = image.part();
  if (image.whole() != whole.whole() || region.left < held.left || region.top < held.top ||
      region.right() > held.right() || region.bottom() > held.bottom()) {
    return false;
  }
  for (int y = region.top; y < region.bottom(); ++y) {
    const uint8_t* const ours = image.row(y - held.top) + 3 * (region.left - held.left);
    if (std::memcmp(ours, whole.row(y) + 3 * region.left, 3 * static_cast<size_t>(region.width))) {
      return false;
    }
  }
  return true;
}

// A part of a picture of this size; small ones and such as reach the edges are frequent.
inline Region RandomPart(Size size, std::mt19937& random) {
  const auto axis = [&random](int side) {
    const auto below = [&random](int bound) {
      return static_cast<int>(random() % static_cast<unsigned>(bound));
    };
    int first = below(side);
    int count = 1 + below(side - first);
    if (below(4) == 0) first = 0;
    if (below(4) == 0) count = side - first;
    if (below(8) == 0) count = std::min(count, 3);
    return std::pair(first, count);
  };
  const auto [left, width] = axis(size.width);
  const auto [top, height] = axis(size.height);
  return {left, top, width, height};
}

}  // namespace pixpool::testing
