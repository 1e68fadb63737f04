#include "server/backbone/network_choice.h"

#include <gtest/gtest.h>

#include <vector>

namespace pixpool {
namespace {

const std::vector<int> kUsual = {3};
const std::vector<int> kAll = {0, 1, 2, 3};
const std::vector<int> kOther = {1, 3};
const std::vector<int64_t> kRecipe = {1, 224, 224, 3};

NetworkChoice MakeChoice() { return NetworkChoice({kUsual, kRecipe}, kAll); }

std::vector<int64_t> Sized(int64_t side) { return {1, side, side, 3}; }

TEST(NetworkChoice, TheUsualNetworkServesTheFirstPass) {
  EXPECT_EQ(MakeChoice().Choose(kUsual, kRecipe, false), (NetworkKey{kUsual, kRecipe}));
}

TEST(NetworkChoice, AnotherShapeOfTheUsualLayersStartsWithTheOpenNetwork) {
  NetworkChoice choice = MakeChoice();
  for (int i = 1; i < NetworkChoice::kPassesBeforeFixed; ++i) {
    EXPECT_EQ(choice.Choose(kUsual, Sized(320), false), (NetworkKey{kUsual, {}}));
  }
  EXPECT_EQ(choice.Choose(kUsual, Sized(320), false), (NetworkKey{kUsual, Sized(320)}));
  EXPECT_EQ(choice.Choose(kUsual, Sized(320), false), (NetworkKey{kUsual, Sized(320)}));
}

TEST(NetworkChoice, OtherLayersStartWithTheNetworkOfAllLayers) {
  NetworkChoice choice = MakeChoice();
  for (int i = 1; i < NetworkChoice::kPassesBeforeFixed; ++i) {
    EXPECT_EQ(choice.Choose(kOther, kRecipe, false), (NetworkKey{kAll, {}}));
  }
  EXPECT_EQ(choice.Choose(kOther, kRecipe, false), (NetworkKey{kOther, kRecipe}));
}

TEST(NetworkChoice, OtherLayersInManyShapesGetAnOpenNetwork) {
  NetworkChoice choice = MakeChoice();
  for (int i = 1; i < NetworkChoice::kPassesBeforeOpen; ++i) {
    EXPECT_EQ(choice.Choose(kOther, Sized(100 + i), false), (NetworkKey{kAll, {}}));
  }
  EXPECT_EQ(choice.Choose(kOther, Sized(100), false), (NetworkKey{kOther, {}}));
  EXPECT_EQ(choice.Choose(kOther, Sized(99), false), (NetworkKey{kOther, {}}));
}

TEST(NetworkChoice, NoMoreNetworksThanTheMemoryIsFor) {
  NetworkChoice choice = MakeChoice();
  size_t fixed = 0;
  for (int side = 100; side < 120; ++side) {
    NetworkKey key;
    for (int i = 0; i < 2 * NetworkChoice::kPassesBeforeFixed; ++i) {
      key = choice.Choose(kUsual, Sized(side), false);
    }
    if (!key.shape.empty()) ++fixed;
  }
  EXPECT_EQ(fixed, NetworkChoice::kMaxMore);
  EXPECT_EQ(choice.Choose(kUsual, kRecipe, false), (NetworkKey{kUsual, kRecipe}));
}

TEST(NetworkChoice, PartOfTheUsualOutputsIsServedByTheUsualNetworks) {
  const std::vector<int> usual = {1, 2, 3};
  NetworkChoice choice({usual, kRecipe}, kAll);
  for (const std::vector<int>& part : std::vector<std::vector<int>>{{2}, {1, 3}, usual}) {
    EXPECT_EQ(choice.Choose(part, kRecipe, false), (NetworkKey{usual, kRecipe}));
    EXPECT_EQ(choice.Choose(part, Sized(64), false), (NetworkKey{usual, {}}));
    EXPECT_EQ(choice.Choose(part, Sized(2048), true), (NetworkKey{usual, {}, true}));
  }
  EXPECT_EQ(choice.Choose({0, 2}, kRecipe, false), (NetworkKey{kAll, {}}));
}

// Sizes that come once each are forgotten, and then a size that comes often is still noticed.
TEST(NetworkChoice, ThousandsOfOddShapesKeepNoFrequentOneOut) {
  NetworkChoice choice = MakeChoice();
  for (int side = 300; side < 5300; ++side) {
    ASSERT_EQ(choice.Choose(kUsual, Sized(side), false), (NetworkKey{kUsual, {}}));
  }
  NetworkKey key;
  for (int i = 0; i < NetworkChoice::kPassesBeforeFixed; ++i) {
    key = choice.Choose(kUsual, Sized(64), false);
  }
  EXPECT_EQ(key, (NetworkKey{kUsual, Sized(64)}));
}

// However often they come.
TEST(NetworkChoice, LargePassesShareTwoOpenNetworksOfTheirOwn) {
  NetworkChoice choice = MakeChoice();
  for (int i = 0; i < 2 * NetworkChoice::kPassesBeforeOpen; ++i) {
    ASSERT_EQ(choice.Choose(kUsual, Sized(2048), true), (NetworkKey{kUsual, {}, true}));
    ASSERT_EQ(choice.Choose(kOther, Sized(2048), true), (NetworkKey{kAll, {}, true}));
  }
}

TEST(NetworkChoice, WhatIsForgottenLeavesItsPlace) {
  NetworkChoice choice = MakeChoice();
  const auto often = [&](int side) {
    NetworkKey key;
    for (int i = 0; i < NetworkChoice::kPassesBeforeFixed; ++i) {
      key = choice.Choose(kUsual, Sized(side), false);
    }
    return key;
  };
  for (size_t i = 0; i < NetworkChoice::kMaxMore; ++i) {
    ASSERT_FALSE(often(100 + static_cast<int>(i)).shape.empty());
  }
  ASSERT_TRUE(often(200).shape.empty());
  choice.Forget({kUsual, Sized(100)});
  EXPECT_EQ(often(200), (NetworkKey{kUsual, Sized(200)}));
}

TEST(NetworkChoice, ANetworkOfOneLayerIsAlsoThatOfAll) {
  NetworkChoice choice({{0}, kRecipe}, {0});
  EXPECT_EQ(choice.Choose({0}, kRecipe, false), (NetworkKey{{0}, kRecipe}));
  EXPECT_EQ(choice.Choose({0}, Sized(96), false), (NetworkKey{{0}, {}}));
}

}  // namespace
}  // namespace pixpool
