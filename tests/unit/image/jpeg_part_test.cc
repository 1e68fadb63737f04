// A part of a JPEG is what it is in the whole picture, and the rest of the file is checked as if it
// were wanted.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/image/fixtures.h"
#include "tests/unit/image/parts.h"

namespace pixpool {
namespace {

using testing::Decode;
using testing::Fixture;
using testing::HasPixels;
using testing::LoadPicture;
using testing::RandomPart;

DecodeOptions AtScale(const Fixture& fixture, int divisor) {
  DecodeOptions options = fixture.options;
  if (divisor > 1) {
    options.min_width = std::max(1, fixture.width / divisor);
    options.min_height = std::max(1, fixture.height / divisor);
  }
  return options;
}

// Counts the parts that were not decoded as a whole after all.
int CheckParts(const Fixture& fixture, int count, std::mt19937& random) {
  int smaller = 0;
  for (const int divisor : {1, 2, 4, 8}) {
    DecodeOptions options = AtScale(fixture, divisor);
    const auto whole = Decode(fixture.bytes, options);
    EXPECT_TRUE(whole.ok()) << whole.status();
    if (!whole.ok()) return 0;
    for (int i = 0; i < count; ++i) {
      options.part = RandomPart(whole->whole(), random);
      const auto image = Decode(fixture.bytes, options);
      EXPECT_TRUE(image.ok()) << image.status();
      if (!image.ok()) return 0;
      const Region& part = *options.part;
      EXPECT_TRUE(HasPixels(*image, *whole, part))
          << divisor << ": " << part.left << "+" << part.width << ", " << part.top << "+"
          << part.height;
      if (image->byte_size() < whole->byte_size()) ++smaller;
    }
  }
  return smaller;
}

TEST(JpegPartTest, PixelsAreThoseOfTheWholePicture) {
  std::mt19937 random(1);
  int smaller = 0;
  for (const Fixture& fixture : testing::LoadFixtures("jpeg_")) {
    if (!fixture.reason.empty() || fixture.bytes.size() > 1 << 20) continue;
    SCOPED_TRACE(fixture.name);
    smaller += CheckParts(fixture, fixture.width > 200 ? 100 : 20, random);
  }
  EXPECT_GT(smaller, 10000);
}

TEST(JpegPartTest, PartsAreUpright) {
  std::mt19937 random(2);
  int smaller = 0;
  for (const Fixture& fixture : testing::LoadFixtures("exif_jpeg_")) {
    if (!fixture.reason.empty()) continue;
    SCOPED_TRACE(fixture.name);
    smaller += CheckParts(fixture, 30, random);
  }
  EXPECT_GT(smaller, 500);
}

TEST(JpegPartTest, OtherFormatsGiveTheWhole) {
  for (const char* name : {"png_filters.png", "webp_q80_61x43.webp"}) {
    const auto image = Decode(LoadPicture(name), {.part = Region{5, 6, 7, 8}});
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(image->part(), (Region{0, 0, image->whole().width, image->whole().height}));
  }
}

TEST(JpegPartTest, ACutBelowThePartIsSeen) {
  const std::string bytes = LoadPicture("jpeg_300x260_420_baseline.jpg");
  const DecodeOptions options = {.part = Region{0, 0, 30, 20}};
  ASSERT_TRUE(Decode(bytes, options).ok());
  for (size_t cut = bytes.size() / 8; cut < bytes.size() - 2; cut += 7) {
    ASSERT_FALSE(Decode(bytes.substr(0, cut), options).ok()) << "cut after " << cut;
    const auto image = Decode(bytes.substr(0, cut) + "\xff\xd9", options);
    ASSERT_TRUE(!image.ok() || image->damages().Has(DamageKind::kMissingData)) << cut;
  }
}

TEST(JpegPartTest, DamageIsFoundWhereverItIs) {
  std::mt19937 random(3);
  for (const char* name :
       {"jpeg_300x260_420_baseline.jpg", "jpeg_300x260_422_progressive.jpg",
        "jpeg_300x260_restart.jpg", "jpeg_grey_300x260_baseline.jpg", "jpeg_440_320.jpg"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    int found = 0;
    for (int i = 0; i < 400; ++i) {
      std::string damaged = bytes;
      for (int k = 0; k < 12; ++k) {
        damaged[random() % damaged.size()] = static_cast<char>(random() & 255);
      }
      const auto header = ReadImageHeader(damaged, ImageLimits());
      if (!header.ok()) continue;
      const auto whole = DecodeImage(damaged, *header, {});
      DecodeOptions options;
      options.part = RandomPart(DecodedSize(*header, options), random);
      const auto part = DecodeImage(damaged, *header, options);
      ASSERT_EQ(part.ok(), whole.ok()) << i << part.status() << whole.status();
      if (whole.ok()) {
        ASSERT_TRUE(HasPixels(*part, *whole, *options.part)) << i;
        ASSERT_EQ(testing::DamagesOf(*part), testing::DamagesOf(*whole)) << i;
        if (!whole->damages().empty()) ++found;
      } else {
        ++found;
      }
    }
    EXPECT_GT(found, 150);
  }
}

}  // namespace
}  // namespace pixpool
