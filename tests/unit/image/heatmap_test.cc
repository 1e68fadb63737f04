#include "server/image/heatmap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "server/image/components.h"
#include "server/image/decode.h"

namespace pixpool {
namespace {

std::vector<int> Sorted(Component component) {
  std::sort(component.cells.begin(), component.cells.end());
  return component.cells;
}

TEST(LargestComponent, JoinsCornersAndTakesTheLargest) {
  const std::vector<uint8_t> mask = {1, 0, 0, 1,  //
                                     0, 1, 0, 1,  //
                                     0, 0, 1, 0,  //
                                     0, 0, 0, 0};
  // All five hang together over corners.
  EXPECT_EQ(Sorted(LargestComponent(mask, 4, 4)), (std::vector<int>{0, 3, 5, 7, 10}));
  const std::vector<uint8_t> two = {1, 1, 0, 0, 0, 1, 1, 1};
  EXPECT_EQ(Sorted(LargestComponent(two, 1, 8)), (std::vector<int>{5, 6, 7}));
}

TEST(LargestComponent, OfTwoAsLargeTheFirstInScanOrder) {
  const std::vector<uint8_t> mask = {0, 1, 0, 1, 1, 0, 1, 1};
  EXPECT_EQ(Sorted(LargestComponent(mask, 1, 8)), (std::vector<int>{3, 4}));
  EXPECT_TRUE(LargestComponent(std::vector<uint8_t>(6), 2, 3).cells.empty());
}

// Evidence in the left of two cells, over the whole of a picture.
const std::vector<float> kLeft = {10, -5};
ActivationView Left(int picture_height, int picture_width) {
  return {.values = kLeft,
          .height = 1,
          .width = 2,
          .area = {0, 0, static_cast<double>(picture_width), static_cast<double>(picture_height)}};
}

TEST(EvidenceBox, GoesRoundWhatIsAboveAFifth) {
  // Over 8 pixels the heat is 1, 1, .875, .625, .375, .125, 0, 0.
  EXPECT_EQ(EvidenceBox(Left(4, 8), 4, 8, 4, 8), (Region{0, 0, 5, 4}));
  // The picture is three times as large as the network's input.
  EXPECT_EQ(EvidenceBox(Left(12, 24), 4, 8, 12, 24), (Region{0, 0, 15, 12}));
}

TEST(EvidenceBox, FollowsTheCropAndStaysInThePicture) {
  ActivationView map = Left(0, 0);
  map.area = {20, 10, 36, 18};  // of a picture of 100 x 50
  EXPECT_EQ(EvidenceBox(map, 4, 8, 50, 100), (Region{20, 10, 10, 8}));
  map.area = {-8, -4, 8, 12};  // a picture of 4 x 6 that was padded
  EXPECT_EQ(EvidenceBox(map, 4, 8, 6, 4), (Region{0, 0, 2, 6}));
}

TEST(EvidenceBox, WithoutEvidenceThereIsNone) {
  const std::vector<float> none = {-1, 0, -3, -2};
  const ActivationView map = {.values = none, .height = 2, .width = 2, .area = {0, 0, 8, 8}};
  EXPECT_EQ(EvidenceBox(map, 8, 8, 8, 8), Region());
}

int Brightness(const Image& image, int y, int x) {
  const uint8_t* pixel = image.row(y) + x * 3;
  return pixel[0] + pixel[1] + pixel[2];
}

TEST(DrawHeatmap, IsBrightWhereTheEvidenceIs) {
  const Image image = DrawHeatmap(Left(6, 12), 6, 12);
  ASSERT_EQ(image.height(), 6);
  ASSERT_EQ(image.width(), 12);
  for (int x = 1; x < 12; ++x) {
    EXPECT_LE(Brightness(image, 3, x), Brightness(image, 3, x - 1)) << x;
  }
  EXPECT_GT(Brightness(image, 3, 0), 600);
  EXPECT_LT(Brightness(image, 3, 11), 30);
}

TEST(DrawHeatmap, IsBlackOutsideOfWhatTheNetworkSaw) {
  ActivationView map = Left(0, 0);
  map.area = {4, 2, 8, 4};
  const Image image = DrawHeatmap(map, 6, 12);
  EXPECT_LT(Brightness(image, 3, 3), 30);
  EXPECT_GT(Brightness(image, 3, 4), 600);
  EXPECT_LT(Brightness(image, 1, 4), 30);
}

TEST(LayHeatmapOver, LeavesThePictureAloneWhereThereIsNothing) {
  Image picture(12, 6);
  for (size_t i = 0; i < picture.byte_size(); ++i) picture.data()[i] = static_cast<uint8_t>(i * 7);
  const Image before = CopyImage(picture);
  LayHeatmapOver(Left(6, 12), picture);
  for (int c = 0; c < 3; ++c) {
    EXPECT_EQ(picture.row(2)[11 * 3 + c], before.row(2)[11 * 3 + c]);
  }
  EXPECT_FALSE(std::equal(picture.row(2), picture.row(2) + 9, before.row(2)));
}

TEST(EncodePng, DecodesToTheSamePixels) {
  Image picture(37, 5);
  for (size_t i = 0; i < picture.byte_size(); ++i) picture.data()[i] = static_cast<uint8_t>(i * 11);
  const std::string png = EncodePng(picture);
  const auto header = ReadImageHeader(png, ImageLimits());
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->format, ImageFormat::kPng);
  const auto decoded = DecodeImage(png, *header, DecodeOptions());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  ASSERT_EQ(decoded->width(), 37);
  ASSERT_EQ(decoded->byte_size(), picture.byte_size());
  EXPECT_TRUE(std::equal(picture.data(), picture.data() + picture.byte_size(), decoded->data()));
}

}  // namespace
}  // namespace pixpool
