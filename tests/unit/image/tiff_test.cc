#include <gtest/gtest.h>

#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::CheckDamagedCopies;
using testing::CheckEveryCutFails;
using testing::Fixture;
using testing::LoadPicture;

TEST(TiffTest, EqualsPillowOrGivesTheReason) {
  const std::vector<Fixture> fixtures = testing::LoadFixtures("tiff_");
  ASSERT_GE(fixtures.size(), 150u);
  for (const Fixture& fixture : fixtures) testing::CheckFixture(fixture);
}

TEST(TiffTest, NoCutGivesAPicture) {
  // Pillow writes the directory last.
  for (const char* name : {"tiff_packbits_l.tif", "tiff_little_rgb_3__8.tif", "tiff_group4.tif",
                           "tiff_big_tiles.tif"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    // But for where no next directory is said to be.
    CheckEveryCutFails(bytes, bytes.size() - 32);
  }
}

TEST(TiffTest, DamagedCopiesAreSafe) {
  for (const char* name :
       {"tiff_lzw_rgb.tif", "tiff_deflate_p.tif", "tiff_packbits_rgba.tif", "tiff_group3.tif",
        "tiff_jpeg_ycbcr.tif", "tiff_little_planes.tif", "tiff_big_tiles.tif", "tiff_big.tif"}) {
    CheckDamagedCopies(LoadPicture(name), 700, 5);
  }
}

TEST(TiffTest, CameraRawIsCalledByItsName) {
  for (const char* name : {"tiff_raw_nef.tif", "tiff_raw_dng.tif", "tiff_raw_cr2.tif"}) {
    const std::string text(testing::Decode(LoadPicture(name)).status().message());
    EXPECT_EQ(text.find("camera raw is not supported; send a"), 0u) << text;
  }
}

}  // namespace
}  // namespace pixpool
