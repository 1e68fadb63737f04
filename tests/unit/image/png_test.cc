#include <gtest/gtest.h>

#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::CheckDamagedCopies;
using testing::CheckEveryCutFails;
using testing::Fixture;
using testing::LoadPicture;

TEST(PngTest, EqualsPillowOrGivesTheReason) {
  const std::vector<Fixture> fixtures = testing::LoadFixtures("png_");
  ASSERT_GE(fixtures.size(), 90u);
  for (const Fixture& fixture : fixtures) testing::CheckFixture(fixture);
}

TEST(PngTest, NoCutGivesAPicture) {
  for (const char* name : {"png_rgb8.png", "png_rgba8_interlaced.png", "png_palette8_trns.png",
                           "png_grey16.png", "png_text.png", "png_animated.png"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    CheckEveryCutFails(bytes, bytes.size());
  }
}

TEST(PngTest, DamagedCopiesAreSafe) {
  CheckDamagedCopies(LoadPicture("png_rgb8.png"), 1500, 1);
  CheckDamagedCopies(LoadPicture("png_palette8_trns_interlaced.png"), 1500, 2);
  CheckDamagedCopies(LoadPicture("exif_png_6_big"), 1500, 3);
}

}  // namespace
}  // namespace pixpool
