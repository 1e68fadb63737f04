#include "server/heads/region_pooling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace pixpool {
namespace {

struct Map {
  std::vector<float> values;  // [h, w, c]
  int64_t c, h, w;
  double stride;

  RegionMap view() const { return {values.data(), c, h, w, stride}; }
  double at(int64_t y, int64_t x, int64_t k) const {
    return values[static_cast<size_t>((y * w + x) * c + k)];
  }
};

Map RandomMap(int64_t c, int64_t h, int64_t w, double stride, std::mt19937* rng) {
  Map map{std::vector<float>(static_cast<size_t>(c * h * w)), c, h, w, stride};
  std::normal_distribution<float> normal;
  for (float& value : map.values) value = normal(*rng);
  return map;
}

std::vector<float> Pooled(const Map& map, const RegionF& box, const RegionPooling& pooling) {
  std::vector<float> out(static_cast<size_t>(pooling.height * pooling.width * map.c), NAN);
  PoolRegion(map.view(), box, pooling, out.data());
  return out;
}

// One sample between its four neighbours, by the definition.
double Bilinear(const Map& map, double y, double x, int64_t k) {
  const auto h = static_cast<double>(map.h);
  const auto w = static_cast<double>(map.w);
  if (y < -1 || y > h || x < -1 || x > w) return 0;
  y = std::clamp(y, 0.0, h - 1);
  x = std::clamp(x, 0.0, w - 1);
  const auto y0 = static_cast<int64_t>(y);
  const auto x0 = static_cast<int64_t>(x);
  const int64_t y1 = std::min(y0 + 1, map.h - 1);
  const int64_t x1 = std::min(x0 + 1, map.w - 1);
  const double dy = y - static_cast<double>(y0);
  const double dx = x - static_cast<double>(x0);
  return (1 - dy) * ((1 - dx) * map.at(y0, x0, k) + dx * map.at(y0, x1, k)) +
         dy * ((1 - dx) * map.at(y1, x0, k) + dx * map.at(y1, x1, k));
}

// RoIAlign in float64, sample by sample.
std::vector<double> Align(const Map& map, const RegionF& box, const RegionPooling& pooling) {
  const double offset = pooling.aligned ? 0.5 : 0;
  const double top = box.top / map.stride - offset;
  const double left = box.left / map.stride - offset;
  double height = (box.bottom - box.top) / map.stride;
  double width = (box.right - box.left) / map.stride;
  if (!pooling.aligned) {
    height = std::max(height, 1.0);
    width = std::max(width, 1.0);
  }
  const double bin_h = height / pooling.height;
  const double bin_w = width / pooling.width;
  const auto samples = [&](double bin) {
    return pooling.sampling_ratio > 0 ? pooling.sampling_ratio : static_cast<int>(std::ceil(bin));
  };
  const int gh = samples(bin_h);
  const int gw = samples(bin_w);
  std::vector<double> out;
  for (int i = 0; i < pooling.height; ++i) {
    for (int j = 0; j < pooling.width; ++j) {
      for (int64_t k = 0; k < map.c; ++k) {
        double sum = 0;
        for (int a = 0; a < gh; ++a) {
          for (int b = 0; b < gw; ++b) {
            sum += Bilinear(map, top + (i + (a + 0.5) / gh) * bin_h,
                            left + (j + (b + 0.5) / gw) * bin_w, k);
          }
        }
        out.push_back(sum / std::max(1, gh * gw));
      }
    }
  }
  return out;
}

// RoIPool, with torchvision's roundings in float32.
std::vector<double> MaxPool(const Map& map, const RegionF& box, const RegionPooling& pooling) {
  const auto cell = [&](double at) { return std::round(at / map.stride); };
  const double top = cell(box.top);
  const double left = cell(box.left);
  const double height = std::max(cell(box.bottom) - top + 1, 1.0);
  const double width = std::max(cell(box.right) - left + 1, 1.0);
  std::vector<double> out;
  for (int i = 0; i < pooling.height; ++i) {
    for (int j = 0; j < pooling.width; ++j) {
      const auto edge = [](double from, double length, int n, int of, bool end, int64_t most) {
        const float at = static_cast<float>(n) * (static_cast<float>(length) / of);
        const double whole = end ? std::ceil(at) : std::floor(at);
        return std::clamp<int64_t>(static_cast<int64_t>(from + whole), 0, most);
      };
      const int64_t y0 = edge(top, height, i, pooling.height, false, map.h);
      const int64_t y1 = edge(top, height, i + 1, pooling.height, true, map.h);
      const int64_t x0 = edge(left, width, j, pooling.width, false, map.w);
      const int64_t x1 = edge(left, width, j + 1, pooling.width, true, map.w);
      for (int64_t k = 0; k < map.c; ++k) {
        double most = y0 < y1 && x0 < x1 ? -INFINITY : 0;
        for (int64_t y = y0; y < y1; ++y) {
          for (int64_t x = x0; x < x1; ++x) most = std::max(most, map.at(y, x, k));
        }
        out.push_back(most);
      }
    }
  }
  return out;
}

void ExpectNear(const std::vector<float>& got, const std::vector<double>& want, double tolerance,
                const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], tolerance) << what << " at " << i;
  }
}

// Boxes within the input, and over its edges, as a centre crop makes them.
TEST(RegionPooling, EqualsTheDefinitions) {
  std::mt19937 rng(7);
  const auto uniform = [&](double a, double b) {
    return std::uniform_real_distribution<double>(a, b)(rng);
  };
  const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(rng); };
  for (int i = 0; i < 400; ++i) {
    // Strides by which a float and a double divide alike: what is rounded must not depend on them.
    const double stride = 1 << below(6);
    const Map map = RandomMap(1 + below(70), 1 + below(20), 1 + below(20), stride, &rng);
    const double h = stride * static_cast<double>(map.h);
    const double w = stride * static_cast<double>(map.w);
    const auto at = [&](double side) {
      return double{static_cast<float>(uniform(-0.4 * side, 1.4 * side))};
    };
    RegionF box{at(w), at(h), at(w), at(h)};
    if (box.left > box.right) std::swap(box.left, box.right);
    if (box.top > box.bottom) std::swap(box.top, box.bottom);
    RegionPooling pooling{.height = 1 + below(9), .width = 1 + below(9)};
    pooling.sampling_ratio = below(4);
    pooling.aligned = below(2) == 1;
    ExpectNear(Pooled(map, box, pooling), Align(map, box, pooling), 1e-5, "align");
    pooling.kind = RegionPoolingKind::kRoiPool;
    // The same values, so the same numbers.
    const std::vector<double> want = MaxPool(map, box, pooling);
    ExpectNear(Pooled(map, box, pooling), want, 0, "pool");
  }
}

TEST(RegionPooling, OfAConstantMapIsTheConstant) {
  const Map map{std::vector<float>(5 * 6 * 3, 2.5f), 3, 5, 6, 32};
  for (const float value : Pooled(map, {10, 20, 150, 140}, {})) EXPECT_FLOAT_EQ(value, 2.5f);
  for (const float value :
       Pooled(map, {10, 20, 150, 140}, {.kind = RegionPoolingKind::kRoiPool, .height = 3})) {
    EXPECT_EQ(value, 2.5f);
  }
}

TEST(RegionPooling, BesideTheMapIsZero) {
  std::mt19937 rng(8);
  const Map map = RandomMap(33, 4, 4, 16, &rng);
  for (const RegionPoolingKind kind : {RegionPoolingKind::kRoiAlign, RegionPoolingKind::kRoiPool}) {
    const RegionPooling pooling{.kind = kind, .height = 2, .width = 2};
    for (const float v : Pooled(map, {-900, 0, -800, 64}, pooling)) EXPECT_EQ(v, 0);
    for (const float v : Pooled(map, {0, 800, 64, 900}, pooling)) EXPECT_EQ(v, 0);
  }
}

// The rest of the cells is as if the value were not there.
TEST(RegionPooling, ANumberThatIsNoneIsNeverAMaximum) {
  Map map{{1, NAN, 3, 2}, 1, 2, 2, 1};
  const RegionPooling one{.kind = RegionPoolingKind::kRoiPool, .height = 1, .width = 1};
  EXPECT_EQ(Pooled(map, {0, 0, 1, 1}, one)[0], 3);
}

TEST(RegionPooling, TheTextSaysAllThatDecidesValues) {
  EXPECT_EQ(RegionPooling().Canonical(), ";region=roi_align:7x7:0:true");
  EXPECT_EQ(
      (RegionPooling{.height = 2, .width = 3, .sampling_ratio = 4, .aligned = false}).Canonical(),
      ";region=roi_align:2x3:4:false");
  EXPECT_EQ((RegionPooling{.kind = RegionPoolingKind::kRoiPool, .height = 1}).Canonical(),
            ";region=roi_pool:1x7");
}

}  // namespace
}  // namespace pixpool
