#include "server/bundle/input_sizes.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

TEST(InputSizes, WithoutBoundsEverySizeIsTaken) {
  const InputSizes sizes;
  EXPECT_TRUE(sizes.Takes(1, 997));
  EXPECT_TRUE(sizes == InputSizes());
  EXPECT_EQ(sizes.Text(), "any size");
}

TEST(InputSizes, OneSizeOrAListHeightFirst) {
  InputSizes sizes = {.only = {{224, 160}}};
  EXPECT_FALSE(sizes == InputSizes());
  EXPECT_TRUE(sizes.Takes(224, 160));
  EXPECT_FALSE(sizes.Takes(160, 224));
  EXPECT_EQ(sizes.Text(), "224 x 160 pixels alone");
  sizes.only.emplace_back(384, 384);
  EXPECT_TRUE(sizes.Takes(384, 384));
  EXPECT_EQ(sizes.Text(), "224 x 160 or 384 x 384 pixels");
  sizes.only.emplace_back(512, 512);
  EXPECT_EQ(sizes.Text(), "224 x 160, 384 x 384 or 512 x 512 pixels");
}

TEST(InputSizes, AnotherSizeIsOneThatIsTaken) {
  EXPECT_EQ(InputSizes().Another(224, 160), std::pair(257, 160));
  EXPECT_EQ((InputSizes{.multiple = 32}.Another(224, 160)), std::pair(288, 160));
  EXPECT_EQ((InputSizes{.only = {{224, 160}}}.Another(224, 160)), std::pair(224, 160));
  EXPECT_EQ((InputSizes{.only = {{224, 160}, {96, 96}}}.Another(224, 160)), std::pair(96, 96));
}

TEST(InputSizes, Multiples) {
  const InputSizes sizes = {.multiple = 32};
  EXPECT_FALSE(sizes == InputSizes());
  EXPECT_TRUE(sizes.Takes(32, 320));
  EXPECT_FALSE(sizes.Takes(32, 321));
  EXPECT_FALSE(sizes.Takes(33, 320));
  EXPECT_EQ(sizes.Text(), "multiples of 32 pixels a side");
}

}  // namespace
}  // namespace pixpool
