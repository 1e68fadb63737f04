#include <gtest/gtest.h>

#include <string>

#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::CheckDamagedCopies;
using testing::CheckEveryCutFails;
using testing::Decode;
using testing::Fixture;
using testing::LoadPicture;
using testing::ReasonOf;

TEST(AvifTest, EqualsPillowOrGivesTheReason) {
  const std::vector<Fixture> fixtures = testing::LoadFixtures("avif_");
  ASSERT_GE(fixtures.size(), 150u);
  for (const Fixture& fixture : fixtures) testing::CheckFixture(fixture);
}

TEST(AvifTest, NoCutGivesAPicture) {
  for (const char* name :
       {"avif_420_67x45.avif", "avif_444_alpha.avif", "avif_400_q50.avif", "avif_grid_3x2.avif"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    CheckEveryCutFails(bytes, bytes.size());
  }
}

TEST(AvifTest, OfAnAnimationTheFirstFrameMustBeThere) {
  const std::string bytes = LoadPicture("avif_animated.avif");
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes, ImageLimits());
  ASSERT_TRUE(header.ok()) << header.status();
  size_t first = 0;
  while (first < bytes.size() && !Decode(bytes.substr(0, first)).ok()) ++first;
  EXPECT_GT(first, bytes.size() / 3);
  EXPECT_LE(first, bytes.size());
}

TEST(AvifTest, DamagedCopiesAreSafe) {
  ::testing::internal::CaptureStderr();
  for (const char* name :
       {"avif_420_67x45.avif", "avif_444_alpha_premultiplied.avif", "avif_animated.avif",
        "avif_10_bit_420.avif", "avif_grid_3x2.avif", "avif_turned_6_with_xmp.avif"}) {
    CheckDamagedCopies(LoadPicture(name), 700, 6);
  }
  // dav1d would write what it finds between the lines of the log.
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

// What a cut takes away is not damage, and is told so.
TEST(AvifTest, TruncatedFilesAreCalledTruncated) {
  const std::string bytes = LoadPicture("avif_420_67x45.avif");
  for (const size_t size :
       {bytes.size() - 1, bytes.size() / 2, size_t{300}, size_t{40}, size_t{35}}) {
    const absl::Status status = Decode(bytes.substr(0, size)).status();
    EXPECT_EQ(std::string(status.message()),
              "avif image cannot be decoded: it is truncated; check that the file is complete");
  }
}

TEST(AvifTest, AnIndexOutOfProportionIsRefusedBeforeALibrarySeesIt) {
  const struct {
    const char* name;
    const char* detail;
  } cases[] = {{"avif_long_index.avif", "its index is over 64 KiB"},
               {"avif_much_metadata.avif", "it has more than 8 pieces of metadata"},
               {"avif_overlapping_pieces.avif", "pieces of its data overlap"},
               {"avif_pieces_without_size.avif", "its index gives no sizes"},
               {"avif_many_tiles.avif", "it has more than 256 tiles"},
               {"avif_many_references.avif", "its items have more than 4096 references"}};
  for (const auto& c : cases) {
    const absl::Status status = ReadImageHeader(LoadPicture(c.name), ImageLimits()).status();
    EXPECT_EQ(ReasonOf(status), "IMAGE_UNDECODABLE") << c.name;
    EXPECT_NE(status.message().find(c.detail), absl::string_view::npos) << status;
  }
}

// A stream's frames may be larger than what the file states, and would be scaled.
TEST(AvifTest, FramesFarLargerThanTheHeaderAreNotDecoded) {
  std::string bytes = LoadPicture("avif_tiles.avif");
  const size_t size = bytes.find("ispe") + 8;
  bytes.replace(size, 8, std::string("\0\0\0\x40\0\0\0\x40", 8));
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(bytes, ImageLimits());
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->width, 64);
  EXPECT_EQ(ReasonOf(DecodeImage(bytes, *header, {}).status()), "IMAGE_UNDECODABLE");
}

}  // namespace
}  // namespace pixpool
