#include "server/image/exif.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::Fixture;

// A little-endian block with one directory of one entry.
std::string Block(char orientation) {
  return std::string("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18) + orientation +
         std::string("\0\0\0", 3) + std::string(4, '\0');
}

TEST(ExifTest, ReadsEveryOrientation) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string block = Block(static_cast<char>(orientation));
    EXPECT_EQ(ReadExifOrientation(block), orientation);
    EXPECT_EQ(ReadExifOrientation(std::string("Exif\0\0", 6) + block), orientation);
  }
}

TEST(ExifTest, OutOfRangeIsUpright) {
  for (const int orientation : {0, 9, 127}) {
    EXPECT_EQ(ReadExifOrientation(Block(static_cast<char>(orientation))), 1);
  }
}

TEST(ExifTest, WhatSaysNothingLeavesTheQuestionOpen) {
  EXPECT_EQ(ReadExifOrientation(""), std::nullopt);
  EXPECT_EQ(ReadExifOrientation(std::string_view("Exif\0\0", 6)), std::nullopt);
  std::string other = Block(6);
  other[10] = '\x0f';
  EXPECT_EQ(ReadExifOrientation(other), std::nullopt);
  EXPECT_EQ(ReadExifOrientation("no TIFF block"), 1);
}

TEST(ExifTest, EveryCutIsSafe) {
  const std::string block = Block(6);
  const size_t header = 8;
  const size_t needed = header + 2 + 12;
  for (size_t cut = 0; cut <= block.size(); ++cut) {
    const std::vector<char> copy(block.begin(), block.begin() + static_cast<ptrdiff_t>(cut));
    const std::optional<int> stated = ReadExifOrientation({copy.data(), copy.size()});
    EXPECT_EQ(stated.value_or(0), cut >= needed ? 6 : cut >= header || cut == 0 ? 0 : 1) << cut;
  }
}

TEST(ExifTest, EveryDirectoryOffsetIsSafe) {
  for (uint32_t offset = 0; offset < 70'000; ++offset) {
    std::string block = Block(6);
    for (int i = 0; i < 4; ++i) block[4 + i] = static_cast<char>(offset >> (8 * i));
    EXPECT_EQ(ReadExifOrientation(block).value_or(1), offset == 8 ? 6 : 1) << offset;
  }
}

TEST(ExifTest, PicturesOfEveryFormatAreTurnedAsPillowTurnsThem) {
  const std::vector<Fixture> fixtures = testing::LoadFixtures("exif_");
  ASSERT_GE(fixtures.size(), 600u);
  for (const Fixture& fixture : fixtures) testing::CheckFixture(fixture);
}

TEST(ExifTest, TheHeaderSaysTheOrientation) {
  int formats = 0;
  for (const std::string_view name : FormatNames()) {
    const std::string format(name);
    // Of a format whose files hold no EXIF there are none.
    if (testing::LoadFixtures("exif_" + format + "_").empty()) continue;
    ++formats;
    for (int orientation = 1; orientation <= 8; ++orientation) {
      const std::string name = "exif_" + format + "_" + std::to_string(orientation) + "_little";
      const absl::StatusOr<ImageHeader> header =
          ReadImageHeader(testing::LoadPicture(name), ImageLimits());
      ASSERT_TRUE(header.ok()) << name << header.status();
      EXPECT_EQ(header->orientation, orientation) << name;
      EXPECT_EQ(header->width, 37) << name;  // as stored
      EXPECT_EQ(header->height, 23) << name;
    }
  }
  EXPECT_GE(formats, 3);
}

}  // namespace
}  // namespace pixpool
