#include "server/heads/regions.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace pixpool {
namespace {

// tests/golden/rmac_regions.txt: "H W L overlap: y x side; y x side; ...".
TEST(RmacRegions, EqualTheReferences) {
  std::ifstream file(PIXPOOL_RMAC_REGIONS);
  ASSERT_TRUE(file) << PIXPOOL_RMAC_REGIONS;
  int cases = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.front() == '#') continue;
    const size_t colon = line.find(':');
    std::istringstream head(line.substr(0, colon));
    int64_t h, w, levels;
    double overlap;
    ASSERT_TRUE(head >> h >> w >> levels >> overlap) << line;
    std::vector<Region> expected;
    std::istringstream rest(line.substr(colon + 1));
    for (std::string part; std::getline(rest, part, ';');) {
      Region region;
      std::istringstream numbers(part);
      if (!(numbers >> region.top >> region.left >> region.width)) continue;
      region.height = region.width;
      expected.push_back(region);
    }
    ASSERT_EQ(RmacRegions(h, w, levels, overlap), expected) << line;
    ++cases;
  }
  EXPECT_GE(cases, 32 * 32);
}

TEST(RmacRegions, AFloatOf04IsTwoFifths) {
  // A tie between two and three steps along the longer side: the fewer win.
  EXPECT_EQ(RmacRegions(5, 9, 1, 0.4f), RmacRegions(5, 9, 1, 0.4));
  EXPECT_EQ(RmacRegions(5, 9, 1, 0.4f).size(), 2u);
}

TEST(RmacRegions, StayOnTheMap) {
  for (int64_t h = 1; h <= 40; h += 3) {
    for (int64_t w = 1; w <= 40; ++w) {
      for (const double overlap : {0.0, 0.4, 0.99}) {
        for (const Region& r : RmacRegions(h, w, 8, overlap)) {
          ASSERT_GE(r.width, 1);
          ASSERT_EQ(r.width, r.height);
          ASSERT_TRUE(r.top >= 0 && r.left >= 0 && r.bottom() <= h && r.right() <= w);
        }
      }
    }
  }
}

}  // namespace
}  // namespace pixpool
