#include "server/image/alpha.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

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

TEST(AlphaTest, DroppingItKeepsTheColors) {
  for (const int width : {0, 1, 2, 3, 17}) {
    std::vector<uint8_t> rgba;
    std::vector<uint8_t> colors;
    for (int i = 0; i < width * 4; ++i) {
      rgba.push_back(static_cast<uint8_t>(i + 1));
      if (i % 4 != 3) colors.push_back(static_cast<uint8_t>(i + 1));
    }
    std::vector<uint8_t> rgb(static_cast<size_t>(width) * 3 + 1, 0);  // and one that must stay
    DropAlphaRow(rgba.data(), width, rgb.data());
    EXPECT_EQ(rgb.back(), 0);
    rgb.pop_back();
    EXPECT_EQ(rgb, colors);
    DropAlphaRow(rgba.data(), width, rgba.data());
    rgba.resize(colors.size());
    EXPECT_EQ(rgba, colors);
  }
}

TEST(AlphaTest, ABackgroundMayBeMixedInWhereThePixelsAre) {
  const std::array<uint8_t, 3> background = {7, 100, 250};
  std::vector<uint8_t> rgba;
  for (int i = 0; i < 64; ++i) rgba.push_back(static_cast<uint8_t>(i * 37));
  std::vector<uint8_t> rgb(48);
  CompositeRow(rgba.data(), 16, background, rgb.data());
  CompositeRow(rgba.data(), 16, background, rgba.data());
  rgba.resize(rgb.size());
  EXPECT_EQ(rgba, rgb);
}

// Whether these pixels, among a hundred that are opaque, matter.
bool Matter(const std::vector<uint8_t>& rgba) {
  HiddenColors hidden;
  hidden.LookAt(rgba.data(), static_cast<int>(rgba.size() / 4));
  hidden.LookAt({0, 0, 0}, 0, 100);
  return hidden.matter();
}

TEST(AlphaTest, HiddenColorsAreThoseThatWhiteWouldShowLighter) {
  const std::vector<uint8_t> black = {0, 0, 0, 0};
  const auto twice = [](std::vector<uint8_t> pixel) {
    pixel.insert(pixel.end(), pixel.begin(), pixel.begin() + 4);
    return pixel;
  };
  EXPECT_FALSE(Matter(black));  // 1 in 101
  EXPECT_TRUE(Matter(twice(black)));
  EXPECT_TRUE(Matter(twice({255, 255, 191, 127})));
  EXPECT_FALSE(Matter(twice({192, 192, 192, 0})));
  EXPECT_FALSE(Matter(twice({0, 0, 0, 128})));
  EXPECT_FALSE(Matter({}));
  HiddenColors color;
  color.LookAt({0, 200, 200}, 2, 100);
  EXPECT_TRUE(color.matter());
  HiddenColors light;
  light.LookAt({200, 200, 200}, 100, 100);
  EXPECT_FALSE(light.matter());
}

}  // namespace
}  // namespace pixpool
