#include "server/image/alpha.h"

#include <gtest/gtest.h>

#include <cmath>

namespace pixpool {
namespace {

TEST(AlphaTest, EveryCombinationIsRoundedToNearest) {
  for (int color = 0; color < 256; ++color) {
    for (int alpha = 0; alpha < 256; ++alpha) {
      for (const int under : {0, 1, 77, 128, 254, 255}) {
        const uint8_t rgba[4] = {static_cast<uint8_t>(color), 0, 255, static_cast<uint8_t>(alpha)};
        const auto background = static_cast<uint8_t>(under);
        uint8_t rgb[3];
        CompositeRow(rgba, 1, {background, background, background}, rgb);
        const double exact[3] = {(color * alpha + under * (255 - alpha)) / 255.0,
                                 under * (255 - alpha) / 255.0,
                                 (255 * alpha + under * (255 - alpha)) / 255.0};
        for (int c = 0; c < 3; ++c) ASSERT_EQ(rgb[c], std::lround(exact[c])) << color << alpha;
      }
    }
  }
}

TEST(AlphaTest, RowsKeepTheOrderOfPixelsAndChannels) {
  const uint8_t rgba[8] = {1, 2, 3, 255, 4, 5, 6, 0};
  uint8_t rgb[7] = {};
  CompositeRow(rgba, 2, {7, 8, 9}, rgb);
  const uint8_t expected[7] = {1, 2, 3, 7, 8, 9, 0};
  EXPECT_TRUE(std::equal(rgb, rgb + 7, expected));
  FillRow(2, {7, 8, 9}, rgb);
  const uint8_t filled[7] = {7, 8, 9, 7, 8, 9, 0};
  EXPECT_TRUE(std::equal(rgb, rgb + 7, filled));
}

}  // namespace
}  // namespace pixpool
