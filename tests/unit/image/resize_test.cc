#include "server/image/resize.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <vector>

namespace pixpool {
namespace {

// One case of tests/support/make_resize_goldens.py.
struct Golden {
  int32_t width, height, new_width, new_height, left, top, region_width, region_height, filter;
};
static_assert(sizeof(Golden) == 36);

Image ReadImage(std::istream& in, int width, int height) {
  Image image(width, height);
  in.read(reinterpret_cast<char*>(image.data()), static_cast<std::streamsize>(image.byte_size()));
  return image;
}

TEST(ResizeTest, EveryByteIsPillows) {
  std::ifstream in(PIXPOOL_RESIZE_GOLDENS, std::ios::binary);
  ASSERT_TRUE(in.is_open()) << PIXPOOL_RESIZE_GOLDENS;
  int cases = 0;
  Golden g;
  while (in.read(reinterpret_cast<char*>(&g), sizeof(g))) {
    const Image source = ReadImage(in, g.width, g.height);
    const Image wanted = ReadImage(in, g.region_width, g.region_height);
    ASSERT_TRUE(in.good());
    const Image got = ResizeRegion(
        source, g.new_width, g.new_height, {g.left, g.top, g.region_width, g.region_height},
        g.filter == 0 ? ResizeFilter::kBilinear : ResizeFilter::kBicubic);
    ASSERT_EQ(got.width(), g.region_width);
    ASSERT_EQ(got.height(), g.region_height);
    ASSERT_EQ(std::memcmp(got.data(), wanted.data(), wanted.byte_size()), 0)
        << g.width << "x" << g.height << " to " << g.new_width << "x" << g.new_height << ", filter "
        << g.filter << ", region " << g.left << "," << g.top << " " << g.region_width << "x"
        << g.region_height;
    ++cases;
  }
  EXPECT_GE(cases, 1200);
}

// A 1 x 16384 picture has a resized height of millions: only what the region needs may be computed.
TEST(ResizeTest, ExtremeShapesCostNoMoreThanTheirRegion) {
  Image tall(1, 16384);
  std::memset(tall.data(), 77, tall.byte_size());
  const Image got =
      ResizeRegion(tall, 256, 256 * 16384, {16, 2'000'000, 224, 224}, ResizeFilter::kBicubic);
  EXPECT_EQ(got.byte_size(), 224u * 224 * 3);
  for (size_t i = 0; i < got.byte_size(); ++i) ASSERT_EQ(got.data()[i], 77);
}

}  // namespace
}  // namespace pixpool
