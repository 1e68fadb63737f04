#include "client/cpp/regions.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace pixpool::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

v1::HeadResult* Add(v1::RegionFeatures* region, const std::string& id,
                    const std::vector<float>& values) {
  v1::HeadResult* result = region->add_head_results();
  result->set_head_id(id);
  result->set_encoding(v1::ENCODING_FLOAT32);
  result->add_shape(static_cast<int64_t>(values.size()));
  result->mutable_values()->Add(values.begin(), values.end());
  return result;
}

// Two regions with the heads "gem" and "avg".
v1::Features Features() {
  v1::Features features;
  for (const float first : {1.0f, 3.0f}) {
    v1::RegionFeatures* region = features.add_regions();
    Add(region, "gem", {first, first + 1});
    Add(region, "avg", {first * 10});
  }
  return features;
}

void ExpectRefused(const v1::Features& features, std::string_view head, absl::StatusCode code,
                   const std::string& text) {
  const absl::Status status = RegionValues(features, head).status();
  EXPECT_EQ(status.code(), code);
  EXPECT_THAT(std::string(status.message()), HasSubstr(text));
}

TEST(RegionsTest, EdgesAreInPixelsOrShares) {
  const v1::Region pixels = PixelRegion({1, 2.5f, 3, 4}, "cat");
  EXPECT_EQ(pixels.region_id(), "cat");
  EXPECT_EQ(pixels.left(), 1);
  EXPECT_EQ(pixels.top(), 2.5f);
  EXPECT_EQ(pixels.right(), 3);
  EXPECT_EQ(pixels.bottom(), 4);
  EXPECT_FALSE(pixels.relative());
  const v1::Region shares = RelativeRegion({.right = 0.5f, .bottom = 1});
  EXPECT_EQ(shares.right(), 0.5f);
  EXPECT_TRUE(shares.relative());
  EXPECT_EQ(shares.region_id(), "");
}

TEST(RegionsTest, ValuesOfAllRegionsAreOneArray) {
  const absl::StatusOr<Array> gem = RegionValues(Features(), "gem");
  ASSERT_TRUE(gem.ok()) << gem.status();
  EXPECT_THAT(gem->shape, ElementsAre(2, 2));
  EXPECT_THAT(gem->values, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(RegionValues(Features(), "avg")->values, ElementsAre(10, 30));
}

TEST(RegionsTest, PackedValuesAreDecoded) {
  v1::Features features;
  v1::HeadResult* result = Add(features.add_regions(), "gem", {});
  result->set_encoding(v1::ENCODING_INT8);
  result->set_shape(0, 2);
  result->set_packed_values("\x02\xFE");
  result->set_scale(0.5f);
  EXPECT_THAT(RegionValues(features, "gem")->values, ElementsAre(1, -1));
  result->set_shape(0, 3);
  ExpectRefused(features, "gem", absl::StatusCode::kInternal, "malformed result for head gem");
}

TEST(RegionsTest, WhatIsNotOneArrayIsRefused) {
  ExpectRefused({}, "gem", absl::StatusCode::kFailedPrecondition, "no regions");
  ExpectRefused(Features(), "gme", absl::StatusCode::kNotFound, "\"gme\"; they have gem, avg");
  v1::Features differ = Features();
  Add(differ.add_regions(), "gem", {1, 2, 3});
  ExpectRefused(differ, "gem", absl::StatusCode::kInvalidArgument, "2 in one region and 3");
  v1::Features scores;
  v1::HeadResult* result = Add(scores.add_regions(), "class_scores", {});
  result->set_shape(0, 1);
  result->add_class_scores()->set_score(1);
  ExpectRefused(scores, "class_scores", absl::StatusCode::kInvalidArgument, "gives no values");
}

}  // namespace
}  // namespace pixpool::client
