// What it takes to make network input of large pictures: a window of rows, not the picture.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "server/image/decode.h"
#include "server/image/heatmap.h"
#include "server/input/picture_inputs.h"
#include "tests/support/counting_allocator.h"
#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::CountsAllocations;

const ImageLimits kLimits = {INT32_MAX, 1'000'000'000, 65'500};

// A JPEG of 12,000 columns with so many strips of 256 rows: those of the fixture, which begin anew
// at each row of blocks.
std::string TallJpeg(int strips) {
  const std::string strip = testing::LoadPicture("wide.jpg");
  const size_t frame = strip.find("\xff\xc0");
  const size_t scan = strip.find("\xff\xda");
  const size_t data = scan + 2 + (static_cast<uint8_t>(strip[scan + 2]) << 8) +
                      static_cast<uint8_t>(strip[scan + 3]);
  const std::string pixels = strip.substr(data, strip.size() - 2 - data);
  std::string tall = strip.substr(0, data);
  const int height = 256 * strips;
  tall[frame + 5] = static_cast<char>(height >> 8);
  tall[frame + 6] = static_cast<char>(height & 255);
  for (int i = 0; i < strips; ++i) {
    if (i > 0) tall += "\xff\xd7";  // 16 rows of blocks: the last restart marker was the sixth
    tall += pixels;
  }
  return tall + "\xff\xd9";
}

// Bytes that were held at most while the picture became input of the default plan; `orientation` as
// if the file stated it.
int64_t PeakOf(const std::string& bytes, int orientation) {
  auto header = ReadImageHeader(bytes, kLimits);
  EXPECT_TRUE(header.ok()) << header.status();
  if (!header.ok()) return 0;
  header->orientation = orientation;
  const int64_t before = testing::AllocatedBytes();
  testing::ResetPeak();
  const auto made = MakeInputs({.bytes = bytes, .header = *header}, *Clock::Real());
  EXPECT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(!made.ok() || made->damages.empty());
  return testing::PeakBytes() - before;
}

class RowMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!CountsAllocations()) GTEST_SKIP() << "a sanitizer allocates";
  }
};

TEST_F(RowMemoryTest, AJpegOf108MegapixelsTakesLessThan16Mebibytes) {
  const std::string bytes = TallJpeg(36);
  for (const int orientation : {1, 3, 6, 8}) {
    const int64_t peak = PeakOf(bytes, orientation);
    EXPECT_GT(peak, 500'000) << orientation;  // that anything was counted
    EXPECT_LT(peak, 16 << 20) << orientation;
  }
}

TEST_F(RowMemoryTest, AJpegTakesNoMoreForBeingTaller) {
  const int64_t small = PeakOf(TallJpeg(9), 1);
  const int64_t tall = PeakOf(TallJpeg(36), 1);
  // A row of the result is made of four times as many; those are as narrow as the result.
  EXPECT_LT(tall, small + (1 << 20));
}

TEST_F(RowMemoryTest, APngTakesLittle) {
  Image picture(4000, 3000);
  for (size_t i = 0; i < picture.byte_size(); ++i) {
    picture.data()[i] = static_cast<uint8_t>(i * i >> 7);
  }
  const std::string bytes = EncodePng(picture);
  for (const int orientation : {1, 6}) {
    const int64_t peak = PeakOf(bytes, orientation);
    EXPECT_GT(peak, 100'000) << orientation;
    EXPECT_LT(peak, 4 << 20) << orientation;
  }
}

TEST_F(RowMemoryTest, PixelsAreNotCopied) {
  const std::string pixels(size_t{3} * 4000 * 3000, '\x7f');
  const int64_t before = testing::AllocatedBytes();
  testing::ResetPeak();
  const ImageHeader header = {.width = 4000, .height = 3000};
  const auto made = MakeInputs({.bytes = pixels, .header = header, .is_raw = true}, *Clock::Real());
  EXPECT_TRUE(made.ok());
  EXPECT_GT(testing::PeakBytes() - before, 100'000);
  EXPECT_LT(testing::PeakBytes() - before, 2 << 20);
}

// The admission and --max-image-memory go by MostBytes.
TEST_F(RowMemoryTest, NoPictureTakesMoreThanItIsReckonedWith) {
  constexpr int64_t kSmallThings = 64 << 10;
  int pictures = 0;
  int large = 0;  // of which all is held
  for (const testing::Fixture& fixture : testing::LoadFixtures("")) {
    const auto header = ReadImageHeader(fixture.bytes, kLimits);
    if (!header.ok()) continue;
    for (int i = 0; i < 8; ++i) {
      PictureTask task = {.bytes = fixture.bytes, .header = *header};
      task.header.orientation = i + 1;
      if (i % 2 == 1) task.plan.background = {1, 2, 3};
      task.plan.flip = i == 3;
      if (i == 4) task.plan.scales = {0.5, 1, 2};
      task.keep_picture = i >= 5;
      const int64_t before = testing::AllocatedBytes();
      testing::ResetPeak();
      const auto made = MakeInputs(task, *Clock::Real());
      const int64_t taken = testing::PeakBytes() - before;
      ASSERT_LE(taken, MostBytes(task) + kSmallThings) << fixture.name << ", " << i;
      ++pictures;
      if (taken > int64_t{3} * header->width * header->height) ++large;
    }
  }
  EXPECT_GT(pictures, 1000);
  EXPECT_GT(large, 100);
}

// And it is not far more, where it matters.
TEST_F(RowMemoryTest, WhatIsReckonedIsNearWhatIsTaken) {
  const std::string bytes = TallJpeg(36);
  const auto header = ReadImageHeader(bytes, kLimits);
  ASSERT_TRUE(header.ok());
  for (const int orientation : {1, 6}) {
    PictureTask task = {.bytes = bytes, .header = *header};
    task.header.orientation = orientation;
    EXPECT_LT(MostBytes(task), 3 * PeakOf(bytes, orientation)) << orientation;
  }
}

// What a head draws on is all there.
TEST_F(RowMemoryTest, WhatIsKeptIsHeld) {
  Image picture(1200, 900);
  std::memset(picture.data(), 99, picture.byte_size());
  const std::string bytes = EncodePng(picture);
  const auto header = ReadImageHeader(bytes, kLimits);
  ASSERT_TRUE(header.ok());
  const int64_t before = testing::AllocatedBytes();
  const auto made =
      MakeInputs({.bytes = bytes, .header = *header, .keep_picture = true}, *Clock::Real());
  ASSERT_TRUE(made.ok());
  EXPECT_GE(testing::AllocatedBytes() - before, static_cast<int64_t>(picture.byte_size()));
}

}  // namespace
}  // namespace pixpool
