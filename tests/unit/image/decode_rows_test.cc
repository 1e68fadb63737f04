// A picture that is resized while it is decoded comes out as one that is decoded first.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "server/image/row_resizer.h"
#include "tests/unit/image/fixtures.h"
#include "tests/unit/image/parts.h"

namespace pixpool {
namespace {

using testing::DamagesOf;
using testing::Fixture;
using testing::LoadFixtures;
using testing::LoadPicture;
using testing::RandomPart;

const ImageLimits kLimits = {64 << 20, 50'000'000, 65'500};

// Hands rows on, and looks whether they come as RowSink says.
class Checked final : public RowSink {
 public:
  explicit Checked(RowSink* next) : next_(next) {}

  void Begin(const Region& part, Size whole) override {
    EXPECT_FALSE(part_.has_value());
    part_ = part;
    whole_ = whole;
    at_ = part.top;
  }

  void Take(const PixelRows& rows) override {
    ASSERT_TRUE(part_.has_value());
    ASSERT_EQ(rows.part.top, at_);
    ASSERT_EQ(rows.part.left, part_->left);
    ASSERT_EQ(rows.part.width, part_->width);
    ASSERT_GT(rows.part.height, 0);
    at_ = rows.part.bottom();
    most_ = std::max(most_, rows.part.height);
    // Memory that is the decoder's again afterwards.
    std::vector<uint8_t> copy(rows.data, rows.end() + rows.readable);
    next_->Take({.part = rows.part, .data = copy.data(), .readable = rows.readable});
    std::fill(copy.begin(), copy.end(), uint8_t{0x55});
  }

  bool complete() const { return part_.has_value() && at_ == part_->bottom(); }
  Size whole() const { return whole_; }
  // Rows that came at a time.
  int most() const { return most_; }

 private:
  RowSink* const next_;
  std::optional<Region> part_;
  Size whole_;
  int at_ = 0;
  int most_ = 0;
};

struct Answer {
  absl::Status status;
  std::string pixels;
  std::string damages;
  int rows_at_once = 0;
};

// What is to be made of a picture.
struct Wish {
  DecodeOptions options;
  Size to;
  Region region;
  ResizeFilter filter;
};

Wish RandomWish(const ImageHeader& header, DecodeOptions options, std::mt19937& random) {
  const auto draw = [&random](int low, int high) {
    return std::uniform_int_distribution(low, high)(random);
  };
  const Size full = UprightSize({header.width, header.height}, OrientationOf(header, options));
  const int divisor = 1 << draw(0, 3);
  if (divisor > 1) {
    options.min_width = std::max(1, full.width / divisor);
    options.min_height = std::max(1, full.height / divisor);
  }
  Wish wish = {options, {draw(1, 60), draw(1, 60)}, {}, ResizeFilter::kBilinear};
  const Size decoded = DecodedSize(header, options);
  if (draw(0, 5) == 0) wish.to.width = decoded.width;
  if (draw(0, 5) == 0) wish.to.height = decoded.height;
  wish.region = RandomPart(wish.to, random);
  if (draw(0, 1) == 0) wish.filter = ResizeFilter::kBicubic;
  return wish;
}

Answer ByRows(std::string_view bytes, const ImageHeader& header, const Wish& wish) {
  DecodeOptions options = wish.options;
  options.part = SourceRegion(DecodedSize(header, options), wish.to.width, wish.to.height,
                              wish.region, wish.filter);
  RowResizer resizer({.stored = StoredSize(header, options),
                      .orientation = OrientationOf(header, options),
                      .to = wish.to,
                      .region = wish.region,
                      .filter = wish.filter});
  Checked checked(&resizer);
  const absl::StatusOr<DecodeNotes> notes = DecodeRows(bytes, header, options, &checked);
  if (!notes.ok()) return {.status = notes.status(), .pixels = "", .damages = ""};
  EXPECT_TRUE(checked.complete());
  EXPECT_EQ(checked.whole(), StoredSize(header, options));
  Image image = resizer.Finish();
  image.set_damages(notes->damages);
  return {absl::OkStatus(),
          {reinterpret_cast<const char*>(image.data()), image.byte_size()},
          DamagesOf(image),
          checked.most()};
}

Answer Whole(std::string_view bytes, const ImageHeader& header, const Wish& wish) {
  const absl::StatusOr<Image> image = DecodeImage(bytes, header, wish.options);
  if (!image.ok()) return {.status = image.status(), .pixels = "", .damages = ""};
  const Image made = ResizeRegion(*image, wish.to.width, wish.to.height, wish.region, wish.filter);
  return {absl::OkStatus(),
          {reinterpret_cast<const char*>(made.data()), made.byte_size()},
          DamagesOf(*image)};
}

void ExpectSame(std::string_view bytes, const ImageHeader& header, const Wish& wish) {
  const Answer expected = Whole(bytes, header, wish);
  const Answer got = ByRows(bytes, header, wish);
  EXPECT_EQ(got.status, expected.status);
  EXPECT_EQ(got.damages, expected.damages);
  EXPECT_TRUE(got.pixels == expected.pixels)
      << "to " << wish.to.width << "x" << wish.to.height << " at " << wish.region.left << ","
      << wish.region.top << " " << wish.region.width << "x" << wish.region.height << ", turned by "
      << OrientationOf(header, wish.options);
}

TEST(DecodeRowsTest, EveryPictureOfEveryFormatAndOrientation) {
  std::mt19937 random(5);
  int turned = 0;
  int errors = 0;
  for (const Fixture& fixture : LoadFixtures("")) {
    if (fixture.bytes.size() > 1 << 20) continue;
    auto header = ReadImageHeader(fixture.bytes, kLimits);
    if (!header.ok()) continue;
    SCOPED_TRACE(fixture.name);
    const bool huge = header->width > 3000 || header->height > 3000;
    for (int i = 0; i < (huge ? 2 : 12); ++i) {
      DecodeOptions options = fixture.options;
      if (i % 4 == 1) options.background = {10, 200, 60};
      if (i % 4 == 2) options.refuse_damaged = true;
      if (i >= 4) header->orientation = i % 8 + 1;  // as if it said so
      ExpectSame(fixture.bytes, *header, RandomWish(*header, options, random));
      if (OrientationOf(*header, options) > 1) ++turned;
    }
    if (!fixture.reason.empty()) ++errors;
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(turned, 1000);
  EXPECT_GT(errors, 10);
}

TEST(DecodeRowsTest, DamagedCopies) {
  std::mt19937 random(6);
  int read = 0;
  int refused = 0;
  for (const char* name :
       {"jpeg_300x260_420_baseline.jpg", "jpeg_300x260_422_progressive.jpg",
        "jpeg_300x260_restart.jpg", "png_filters.png", "png_rgba16_background_interlaced.png"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    for (int i = 0; i < 300; ++i) {
      std::string damaged = bytes;
      for (int k = 0; k < 8; ++k) {
        damaged[random() % damaged.size()] = static_cast<char>(random() & 255);
      }
      if (i % 3 == 0) damaged.resize(1 + random() % damaged.size());
      const auto header = ReadImageHeader(damaged, kLimits);
      if (!header.ok()) continue;
      DecodeOptions options;
      if (i % 2 == 0) options.background = {1, 2, 3};
      const Wish wish = RandomWish(*header, options, random);
      ExpectSame(damaged, *header, wish);
      ++(ByRows(damaged, *header, wish).status.ok() ? read : refused);
      if (::testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 100);
}

// That these formats are decoded by rows at all; the memory that it saves is in
// row_memory_test.cc.
TEST(DecodeRowsTest, ComesInFewRowsAtATime) {
  for (const char* name :
       {"jpeg_300x260_420_baseline.jpg", "jpeg_300x260_422_progressive.jpg", "png_filters.png"}) {
    SCOPED_TRACE(name);
    const std::string bytes = LoadPicture(name);
    const auto header = ReadImageHeader(bytes, kLimits);
    ASSERT_TRUE(header.ok()) << header.status();
    const Wish wish = {{}, {20, 20}, {0, 0, 20, 20}, ResizeFilter::kBicubic};
    EXPECT_LE(ByRows(bytes, *header, wish).rows_at_once, 16);
  }
}

}  // namespace
}  // namespace pixpool
