#include <gtest/gtest.h>

#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::CheckDamagedCopies;
using testing::CheckEveryCutFails;
using testing::Decode;
using testing::Fixture;
using testing::LoadPicture;

TEST(JpegTest, AgreesWithPillowOrGivesTheReason) {
  const std::vector<Fixture> fixtures = testing::LoadFixtures("jpeg_");
  ASSERT_GE(fixtures.size(), 100u);
  for (const Fixture& fixture : fixtures) testing::CheckFixture(fixture);
}

TEST(JpegTest, NoCutBeforeTheLastRowGivesAPicture) {
  for (const char* name : {"jpeg_67x45_420_q95_baseline.jpg", "jpeg_67x45_444_q95_progressive.jpg",
                           "jpeg_grey_67x45_progressive.jpg", "jpeg_grey_67x45_baseline.jpg",
                           "jpeg_cmyk_67x45_progressive.jpg", "jpeg_restart_67x45.jpg"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    CheckEveryCutFails(bytes, bytes.size() - 2);  // the end marker alone may be missing
  }
}

// With an end marker a cut file is no longer truncated, to Pillow; but whole it is not.
void CheckCutsWithEndMarker(std::string_view name, DecodeOptions options) {
  const std::string bytes = LoadPicture(name);
  int read = 0;
  for (size_t cut = 3; cut < bytes.size() - 2; ++cut) {
    const std::string file = bytes.substr(0, cut) + "\xff\xd9";
    options.refuse_damaged = true;
    ASSERT_FALSE(Decode(file, options).ok()) << "cut after " << cut;
    options.refuse_damaged = false;
    const absl::StatusOr<Image> image = Decode(file, options);
    if (!image.ok()) continue;
    ++read;
    ASSERT_EQ(testing::DamagesOf(*image), "missing_data") << "cut after " << cut;
  }
  EXPECT_GT(read, 100);
}

TEST(JpegTest, NoCutThatIsGivenAnEndMarkerLosesRowsUnseen) {
  CheckCutsWithEndMarker("jpeg_67x45_420_q95_baseline.jpg", {});
}

TEST(JpegTest, DamagedCopiesAreSafe) {
  CheckDamagedCopies(LoadPicture("jpeg_67x45_420_q75_baseline.jpg"), 1500, 1);
  CheckDamagedCopies(LoadPicture("jpeg_67x45_422_q75_progressive.jpg"), 1500, 2);
  CheckDamagedCopies(LoadPicture("jpeg_ycck_67x45_baseline.jpg"), 500, 3);
  CheckDamagedCopies(LoadPicture("exif_jpeg_6_big"), 1500, 4);
}

struct Reduced {
  int least_width, least_height;
  int width, height;
};

TEST(JpegTest, TheSmallestScaleThatKeepsBothSidesIsTaken) {
  const std::string bytes = LoadPicture("jpeg_67x45_420_q95_baseline.jpg");
  for (const Reduced& c :
       {Reduced{0, 0, 67, 45}, Reduced{67, 45, 67, 45}, Reduced{34, 22, 67, 45},
        Reduced{33, 22, 34, 23}, Reduced{16, 12, 34, 23}, Reduced{16, 11, 17, 12},
        Reduced{8, 6, 17, 12}, Reduced{8, 5, 9, 6}, Reduced{1, 1, 9, 6}, Reduced{500, 1, 67, 45}}) {
    SCOPED_TRACE(c.least_width);
    const auto image = Decode(bytes, {.min_width = c.least_width, .min_height = c.least_height});
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(image->width(), c.width);
    EXPECT_EQ(image->height(), c.height);
  }
}

TEST(JpegTest, ScaledSidesFollowTheOrientation) {
  // Stored on its side: 6 turns it by a quarter.
  const std::string bytes = LoadPicture("exif_jpeg_6_big");
  const auto full = Decode(bytes);
  ASSERT_TRUE(full.ok()) << full.status();
  ASSERT_NE(full->width(), full->height());
  const auto half = Decode(bytes, {.min_width = full->width() / 2, .min_height = 1});
  ASSERT_TRUE(half.ok()) << half.status();
  EXPECT_EQ(half->width(), (full->width() + 1) / 2);
  EXPECT_EQ(half->height(), (full->height() + 1) / 2);
}

TEST(JpegTest, ScaledDecodingIsAsStrict) {
  CheckCutsWithEndMarker("jpeg_67x45_420_q95_baseline.jpg", {.min_width = 8, .min_height = 5});
  for (const char* name : {"jpeg_cmyk_67x45_progressive.jpg", "jpeg_grey_67x45_progressive.jpg"}) {
    const auto image = Decode(LoadPicture(name), {.min_width = 8, .min_height = 5});
    ASSERT_TRUE(image.ok()) << image.status();
    EXPECT_EQ(image->width(), 9);
  }
}

TEST(JpegTest, AFailureLeavesNothingBehindForTheNextPicture) {
  const std::string good = LoadPicture("jpeg_128x96_420_q75_baseline.jpg");
  const std::string bad = LoadPicture("jpeg_zeroed_end_progressive.jpg");
  const absl::StatusOr<Image> before = Decode(good);
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_FALSE(Decode(bad).ok());
  const absl::StatusOr<Image> after = Decode(good);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_TRUE(std::equal(before->data(), before->data() + before->byte_size(), after->data()));
}

}  // namespace
}  // namespace pixpool
