#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "server/image/decode.h"
#include "tests/unit/image/parts.h"

namespace pixpool {
namespace {

// A picture of 3 x 2 pixels, named a to f from the top left; each channel of a pixel differs.
Image Letters() {
  Image image(3, 2);
  for (int i = 0; i < 6; ++i) {
    for (int c = 0; c < 3; ++c) image.data()[3 * i + c] = static_cast<uint8_t>('a' + i + 50 * c);
  }
  return image;
}

// The rows of a picture made of those pixels, joined by '/'; '?' for a pixel whose channels do not
// belong together.
std::string Rows(const Image& image) {
  std::string rows;
  for (int y = 0; y < image.height(); ++y) {
    if (y > 0) rows += '/';
    for (int x = 0; x < image.width(); ++x) {
      const uint8_t* p = image.row(y) + 3 * x;
      rows += p[1] == p[0] + 50 && p[2] == p[0] + 100 ? static_cast<char>(p[0]) : '?';
    }
  }
  return rows;
}

TEST(OrientationTest, EveryValueOfTheStandard) {
  const char* const expected[] = {"abc/def",  "cba/fed",  "fed/cba",  "def/abc",
                                  "ad/be/cf", "da/eb/fc", "fc/eb/da", "cf/be/ad"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Image turned = ApplyOrientation(Letters(), orientation);
    EXPECT_EQ(turned.width(), orientation >= 5 ? 2 : 3);
    EXPECT_EQ(Rows(turned), expected[orientation - 1]) << orientation;
  }
}

TEST(OrientationTest, APartBecomesThePartThatItShows) {
  const Image letters = Letters();
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Image turned = ApplyOrientation(CopyImage(letters), orientation);
    for (int left = 0; left < 3; ++left) {
      for (int width = 1; left + width <= 3; ++width) {
        for (const Region& rows : {Region{0, 0, 0, 1}, Region{0, 1, 0, 1}, Region{0, 0, 0, 2}}) {
          const Region part = {left, rows.top, width, rows.height};
          const Image upright = ApplyOrientation(testing::CopyPart(letters, part), orientation);
          EXPECT_TRUE(testing::HasPixels(upright, turned, upright.part())) << orientation;
          EXPECT_EQ(OrientRegion(upright.part(), turned.whole(), InverseOrientation(orientation)),
                    part)
              << orientation;
        }
      }
    }
  }
}

TEST(OrientationTest, OneAndInvalidValuesReturnTheSamePixels) {
  for (const int orientation : {1, 0, -3, 9}) {
    Image image = Letters();
    const uint8_t* pixels = image.data();
    const Image same = ApplyOrientation(std::move(image), orientation);
    EXPECT_EQ(same.data(), pixels) << orientation;
  }
}

TEST(OrientationTest, OnePixelAndNone) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    Image pixel(1, 1);
    for (int c = 0; c < 3; ++c) pixel.data()[c] = static_cast<uint8_t>(c + 1);
    const Image turned = ApplyOrientation(std::move(pixel), orientation);
    EXPECT_THAT(std::vector<uint8_t>(turned.data(), turned.data() + 3),
                ::testing::ElementsAre(1, 2, 3));
    EXPECT_TRUE(ApplyOrientation(Image(), orientation).empty());
  }
}

}  // namespace
}  // namespace pixpool
