// The ways to compute a pass give the same bytes; resize_test.cc holds the one in use to Pillow's.
#include "server/image/resize_passes.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

namespace pixpool {
namespace {

// Half of the samples are black or white: between those a cubic overshoots most.
Image Noise(int width, int height, std::mt19937& random) {
  Image image(width, height);
  for (size_t i = 0; i < image.byte_size(); ++i) {
    const auto bits = random();
    const uint8_t extreme = bits & 0x200 ? 255 : 0;
    image.data()[i] = bits & 0x100 ? extreme : static_cast<uint8_t>(bits);
  }
  return image;
}

struct Variant {
  const char* name;
  const ResizePasses* (*get)();
};

class ResizePassesTest : public testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    if (GetParam().get() == nullptr) GTEST_SKIP() << "this processor has no " << GetParam().name;
  }

  int Draw(int low, int high) { return std::uniform_int_distribution(low, high)(random_); }

  // Sides that shrink by a lot, shrink a little, or grow, and a part of the result.
  struct Case {
    int in, out, begin, count;
    ResizeFilter filter;
  };
  Case DrawCase() {
    Case c;
    c.in = Draw(1, Draw(0, 3) == 0 ? 2000 : 90);
    c.out = Draw(1, 90);
    c.begin = Draw(0, c.out - 1);
    c.count = Draw(1, c.out - c.begin);
    c.filter = Draw(0, 1) == 0 ? ResizeFilter::kBilinear : ResizeFilter::kBicubic;
    return c;
  }

  std::mt19937 random_{20261127};
};

TEST_P(ResizePassesTest, HorizontalIsTheSame) {
  for (int n = 0; n < 1500; ++n) {
    const Case c = DrawCase();
    const Columns columns(MakeAxis(c.in, c.out, c.begin, c.count, c.filter));
    const int height = Draw(1, 11);
    const Image source = Noise(c.in, height, random_);
    Image portable(c.count, height), fast(c.count, height);
    // Each in memory of its own, so that reading farther than is allowed is found.
    std::vector<std::vector<uint8_t>> copies;
    std::vector<const uint8_t*> rows;
    std::vector<uint8_t*> portable_rows, fast_rows;
    for (int y = 0; y < height; ++y) {
      std::vector<uint8_t>& copy = copies.emplace_back(source.stride() + kReadBehind, 99);
      std::memcpy(copy.data(), source.row(y), source.stride());
      rows.push_back(copy.data());
      portable_rows.push_back(portable.row(y));
      fast_rows.push_back(fast.row(y));
    }
    PortableResizePasses().horizontal(columns, rows.data(), portable_rows.data(), height);
    GetParam().get()->horizontal(columns, rows.data(), fast_rows.data(), height);
    ASSERT_EQ(std::memcmp(portable.data(), fast.data(), fast.byte_size()), 0)
        << c.in << " to " << c.out << " from " << c.begin << ", " << height << " rows";
  }
}

TEST_P(ResizePassesTest, VerticalIsTheSame) {
  for (int n = 0; n < 1500; ++n) {
    const Case c = DrawCase();
    const Axis axis = MakeAxis(c.in, c.out, c.begin, c.count, c.filter);
    const Image source = Noise(Draw(1, 60), c.in, random_);
    const size_t left = static_cast<size_t>(Draw(0, source.width() - 1)) * 3;
    const size_t size = source.stride() - left;
    for (const Window& window : axis.windows) {
      std::vector<const uint8_t*> rows;
      for (int y = window.first; y < window.end(); ++y) rows.push_back(source.row(y) + left);
      const int32_t* const weights = axis.weights.data() + window.weights;
      std::vector<uint8_t> portable(size), fast(size);
      PortableResizePasses().vertical(rows.data(), weights, window.count, size, portable.data());
      GetParam().get()->vertical(rows.data(), weights, window.count, size, fast.data());
      ASSERT_EQ(portable, fast) << c.in << " to " << c.out << " from " << c.begin << ", " << size
                                << " bytes";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ResizePassesTest,
                         testing::Values(Variant{"AVX2", Avx2ResizePasses},
                                         Variant{"AVX512VNNI", Avx512ResizePasses}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pixpool
