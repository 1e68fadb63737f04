// Pillow's own expectations of its resize (Tests/test_image_resample.py), on pictures too small for
// the API: two bright and two dark squares, of which the result's upper left quarter is given.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "server/image/resize.h"

namespace pixpool {
namespace {

constexpr uint8_t kBright = 0xe1;
constexpr uint8_t kDark = 255 - kBright;

struct PillowCase {
  std::string name;
  ResizeFilter filter;
  int from;
  int to;
  std::vector<uint8_t> quarter;  // in rows, to / 2 squared
};

// The other quarters: mirrored, with bright and dark exchanged, and turned.
int Expected(const PillowCase& c, int y, int x) {
  const int half = c.to / 2;
  const bool inverted = (y < half) != (x < half);
  const int row = y < half ? y : c.to - 1 - y;
  const int column = x < half ? x : c.to - 1 - x;
  const int value = c.quarter[static_cast<size_t>(row * half + column)];
  return inverted ? 255 - value : value;
}

Image Squares(int side, int channel) {
  Image image(side, side);
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      uint8_t* pixel = image.data() + 3 * (y * side + x);
      pixel[0] = pixel[1] = pixel[2] = kDark;
      pixel[channel] = (y < side / 2) == (x < side / 2) ? kBright : kDark;
    }
  }
  return image;
}

// Each case in each channel, the others constant.
class PillowResizeTest : public testing::TestWithParam<std::tuple<PillowCase, int>> {};

TEST_P(PillowResizeTest, GivesPillowsLevels) {
  const auto& [c, channel] = GetParam();
  const Image got =
      ResizeRegion(Squares(c.from, channel), c.to, c.to, {0, 0, c.to, c.to}, c.filter);
  ASSERT_EQ(got.width(), c.to);
  ASSERT_EQ(got.height(), c.to);
  for (int y = 0; y < c.to; ++y) {
    for (int x = 0; x < c.to; ++x) {
      for (int k = 0; k < 3; ++k) {
        EXPECT_EQ(got.data()[3 * (y * c.to + x) + k], k == channel ? Expected(c, y, x) : kDark)
            << "row " << y << ", column " << x << ", channel " << k;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Pillow, PillowResizeTest,
    testing::Combine(
        testing::Values(
            PillowCase{"ReduceBilinear", ResizeFilter::kBilinear, 8, 4, {0xe1, 0xc9, 0xc9, 0xb7}},
            PillowCase{"ReduceBicubic",
                       ResizeFilter::kBicubic,
                       12,
                       6,
                       {0xe1, 0xe3, 0xd4, 0xe3, 0xe5, 0xd6, 0xd4, 0xd6, 0xc9}},
            PillowCase{"EnlargeBilinear", ResizeFilter::kBilinear, 2, 4, {0xe1, 0xb0, 0xb0, 0x98}},
            PillowCase{"EnlargeBicubic",
                       ResizeFilter::kBicubic,
                       4,
                       8,
                       {0xe1, 0xe5, 0xee, 0xb9, 0xe5, 0xe9, 0xf3, 0xbc, 0xee, 0xf3, 0xfd, 0xc1,
                        0xb9, 0xbc, 0xc1, 0xa2}}),
        testing::Values(0, 1, 2)),
    [](const auto& info) {
      return std::get<0>(info.param).name + "Channel" + std::to_string(std::get<1>(info.param));
    });

}  // namespace
}  // namespace pixpool
