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

// Where the compressed pixels of the first frame end, without their checksums and the few bytes
// that may not be of a row.
size_t EndOfRows(const std::string& bytes) {
  size_t end = 0;
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t length =
        static_cast<uint8_t>(bytes[at + 2]) << 8 | static_cast<uint8_t>(bytes[at + 3]);
    const bool pixels = bytes.compare(at + 4, 4, "IDAT") == 0;
    if (!pixels && end > 0) break;
    at += 12 + length;
    if (pixels) end = at - 12;
  }
  return end;
}

TEST(PngTest, NoCutLosesRows) {
  for (const char* name : {"png_rgb8.png", "png_rgba8_interlaced.png", "png_palette8_trns.png",
                           "png_grey16.png", "png_text.png", "png_animated.png"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    CheckEveryCutFails(bytes, EndOfRows(bytes));
  }
}

TEST(PngTest, DamagedCopiesAreSafe) {
  CheckDamagedCopies(LoadPicture("png_rgb8.png"), 1500, 1);
  CheckDamagedCopies(LoadPicture("png_palette8_trns_interlaced.png"), 1500, 2);
  CheckDamagedCopies(LoadPicture("exif_png_6_big"), 1500, 3);
}

}  // namespace
}  // namespace pixpool
