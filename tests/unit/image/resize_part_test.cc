// A resize from the part of a picture that it reads is the resize from the whole.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "server/image/resize.h"
#include "tests/unit/image/parts.h"

namespace pixpool {
namespace {

TEST(ResizePartTest, GivesWhatTheWholeGives) {
  std::mt19937 random(4);
  const auto draw = [&random](int low, int high) {
    return std::uniform_int_distribution(low, high)(random);
  };
  int smaller = 0;
  for (int n = 0; n < 2000; ++n) {
    Image whole(draw(1, 150), draw(1, 150));
    for (size_t i = 0; i < whole.byte_size(); ++i) whole.data()[i] = static_cast<uint8_t>(random());
    Size to = {draw(1, 90), draw(1, 90)};
    if (draw(0, 4) == 0) to.width = whole.width();  // an axis that keeps its size
    if (draw(0, 4) == 0) to.height = whole.height();
    const Region region = testing::RandomPart(to, random);
    const auto filter = draw(0, 1) == 0 ? ResizeFilter::kBilinear : ResizeFilter::kBicubic;
    const Region needed = SourceRegion(whole.whole(), to.width, to.height, region, filter);
    const Image part = testing::CopyPart(whole, needed);
    if (part.byte_size() < whole.byte_size()) ++smaller;
    const Image expected = ResizeRegion(whole, to.width, to.height, region, filter);
    const Image got = ResizeRegion(part, to.width, to.height, region, filter);
    ASSERT_EQ(got.part(), expected.part());
    ASSERT_EQ(std::memcmp(got.data(), expected.data(), expected.byte_size()), 0)
        << whole.width() << " x " << whole.height() << " to " << to.width << " x " << to.height;
  }
  EXPECT_GT(smaller, 500);
}

}  // namespace
}  // namespace pixpool
