#include "server/kserve/response.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "server/base/error.h"
#include "tests/integration/fake_model.h"

namespace pixpool::kserve {
namespace {

TEST(ClassText, IsTritonsFormat) {
  EXPECT_EQ(ClassText({.class_index = 1, .score = 0.25f}, {"cat", "dog: big"}),
            "0.250000:1:dog: big");
  EXPECT_EQ(ClassText({.class_index = 2, .score = -1.5f}, {}), "-1.500000:2:");
}

class InferResponse : public ::testing::Test {
 protected:
  // A result of one head on `images` images, each with the values 1 and 2.
  ExtractResult Result(HeadSpec head, size_t images) {
    auto model = std::make_shared<LoadedModel>();
    model->model = std::make_unique<FakeModel>();
    ExtractResult result;
    result.model = model;
    head.space_id = "space";
    result.heads = std::make_shared<std::vector<HeadSpec>>(std::vector<HeadSpec>{head});
    for (size_t i = 0; i < images; ++i) {
      ImageFeatures image;
      image.outputs.push_back({.shape = {2}, .values = {1, 2}});
      image.times[static_cast<size_t>(Stage::kBackbone)] = std::chrono::microseconds(40 + i);
      result.images.push_back(std::move(image));
    }
    return result;
  }

  absl::Status Convert(ExtractResult result) {
    response_.Clear();
    return InferResponseFromResult(request_, std::move(result), &response_);
  }

  inference::ModelInferRequest request_;
  inference::ModelInferResponse response_;
};

TEST_F(InferResponse, StacksTheImages) {
  request_.set_id("7");
  request_.add_outputs()->set_name("gem:p=4");
  ASSERT_TRUE(Convert(Result({.type = FindHeadType("gem"), .layer = "features"}, 2)).ok());
  EXPECT_EQ(response_.id(), "7");
  const auto& tensor = response_.outputs(0);
  EXPECT_EQ(tensor.name(), "gem:p=4");
  EXPECT_EQ(tensor.datatype(), "FP32");
  EXPECT_THAT(tensor.shape(), ::testing::ElementsAre(2, 2));
  EXPECT_EQ(tensor.parameters().at("space_id").string_param(), "space");
  EXPECT_EQ(tensor.parameters().at("layer").string_param(), "features");
  const float expected[] = {1, 2, 1, 2};
  ASSERT_EQ(response_.raw_output_contents(0).size(), sizeof(expected));
  EXPECT_EQ(std::memcmp(response_.raw_output_contents(0).data(), expected, sizeof(expected)), 0);
  EXPECT_EQ(response_.parameters().at("backbone_us").int64_param(), 41);
}

TEST_F(InferResponse, DamageIsSaidOfEachImage) {
  ASSERT_TRUE(Convert(Result({.type = FindHeadType("gem")}, 3)).ok());
  EXPECT_FALSE(response_.parameters().contains("warnings"));
  ExtractResult result = Result({.type = FindHeadType("gem")}, 3);
  result.images[0].warnings = {"one", "two"};
  result.images[2].warnings = {"three"};
  ASSERT_TRUE(Convert(std::move(result)).ok());
  EXPECT_EQ(response_.parameters().at("warnings").string_param(),
            "images[0]: one; images[0]: two; images[2]: three");
}

TEST_F(InferResponse, OneBadImageFailsTheRequest) {
  ExtractResult result = Result({.type = FindHeadType("gem")}, 3);
  result.images[1].status = MakeError(ErrorReason::kImageUndecodable, "broken");
  const absl::Status status = Convert(std::move(result));
  EXPECT_EQ(GetErrorDetails(status)->reason, ErrorReason::kImageUndecodable);
  EXPECT_EQ(status.message(), "images[1]: broken");
}

TEST_F(InferResponse, ABadRegionIsNamed) {
  ExtractResult result = Result({.type = FindHeadType("gem")}, 2);
  result.images[1].status = MakeError(
      {.reason = ErrorReason::kRequestInvalid, .field = "images[1].regions[3].top"}, "top is -1");
  EXPECT_EQ(Convert(std::move(result)).message(), "images[1].regions[3].top: top is -1");
}

TEST_F(InferResponse, MapsOfDifferentSizesAreRefused) {
  ExtractResult result = Result({.type = FindHeadType("feature_map")}, 2);
  result.images[1].outputs[0].shape = {2, 1};
  const absl::Status status = Convert(std::move(result));
  EXPECT_EQ(GetErrorDetails(status)->reason, ErrorReason::kRequestInvalid);
  EXPECT_EQ(GetErrorDetails(status)->field, "outputs[0]");
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("the maps of feature_map differ in size between the images"));

  ExtractResult regions = Result({.type = FindHeadType("feature_map")}, 1);
  for (const int64_t side : {2, 3}) {
    regions.images[0].regions.push_back({.outputs = {{.shape = {1, side}}}});
  }
  EXPECT_THAT(std::string(Convert(std::move(regions)).message()),
              ::testing::HasSubstr("differ in size between the regions"));
}

class InferRegions : public InferResponse {
 protected:
  // A result of one head on `images` images that have no values of their own, with as many regions
  // as `counts` says; the values of the regions count up.
  ExtractResult Regions(const std::vector<int>& counts) {
    ExtractResult result = Result({.type = FindHeadType("gem")}, counts.size());
    float value = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      ImageFeatures& image = result.images[i];
      if (counts[i] > 0) image.outputs.clear();
      for (int r = 0; r < counts[i]; ++r, ++value) {
        image.regions.push_back({.box = {0.1f, 1.0 * r, 1234.5678f, 9},
                                 .outputs = {{.shape = {1}, .values = {value}}}});
      }
    }
    return result;
  }

  std::vector<float> Values(int output) const {
    const std::string& raw = response_.raw_output_contents(output);
    std::vector<float> values(raw.size() / sizeof(float));
    std::memcpy(values.data(), raw.data(), raw.size());
    return values;
  }
};

TEST_F(InferRegions, EachHasARow) {
  request_.add_outputs()->set_name("gem:l2");
  ASSERT_TRUE(Convert(Regions({2, 0, 1})).ok());
  ASSERT_EQ(response_.outputs_size(), 1);
  EXPECT_EQ(response_.outputs(0).name(), "gem:l2");
  EXPECT_THAT(response_.outputs(0).shape(), ::testing::ElementsAre(3, 1));
  EXPECT_THAT(Values(0), ::testing::ElementsAre(0, 1, 2));
  EXPECT_EQ(response_.parameters().at("regions").string_param(),
            "0.1,0,1234.5677,9;0.1,1,1234.5677,9;0.1,0,1234.5677,9");
  ASSERT_TRUE(Convert(Result({.type = FindHeadType("gem")}, 1)).ok());
  EXPECT_FALSE(response_.parameters().contains("regions"));
}

TEST_F(InferRegions, WhatIsRemarkedOnAllIsSaidOnce) {
  ExtractResult result = Regions({2, 2});
  for (ImageFeatures& image : result.images) {
    for (RegionFeatures& region : image.regions) region.outputs[0].warnings = {"of all"};
  }
  result.images[1].regions[1].outputs[0].warnings.push_back("of one");
  ASSERT_TRUE(Convert(std::move(result)).ok());
  EXPECT_EQ(response_.outputs(0).parameters().at("warnings").string_param(), "of all; of one");
}

TEST_F(InferRegions, PooledOnesHaveASpaceOfTheirOwn) {
  ExtractResult crops = Regions({1});
  ExtractResult pooled = Regions({1});
  auto heads = std::make_shared<std::vector<HeadSpec>>(*pooled.heads);
  heads->front().space_id = "pooled";
  pooled.region_heads = heads;
  ASSERT_TRUE(Convert(std::move(crops)).ok());
  EXPECT_EQ(response_.outputs(0).parameters().at("space_id").string_param(), "space");
  ASSERT_TRUE(Convert(std::move(pooled)).ok());
  EXPECT_EQ(response_.outputs(0).parameters().at("space_id").string_param(), "pooled");
}

TEST_F(InferRegions, WholeImagesAreOutputsOfTheirOwn) {
  ExtractResult result = Regions({1, 2});
  auto heads = std::make_shared<std::vector<HeadSpec>>(*result.heads);
  heads->front().space_id = "pooled";
  result.region_heads = heads;
  for (ImageFeatures& image : result.images) {
    image.outputs.push_back({.shape = {2}, .values = {8, 9}});
  }
  ASSERT_TRUE(Convert(std::move(result)).ok());
  ASSERT_EQ(response_.outputs_size(), 2);
  EXPECT_EQ(response_.outputs(0).name(), "gem");
  EXPECT_THAT(Values(0), ::testing::ElementsAre(0, 1, 2));
  EXPECT_EQ(response_.outputs(1).name(), "image/gem");
  EXPECT_THAT(response_.outputs(1).shape(), ::testing::ElementsAre(2, 2));
  EXPECT_THAT(Values(1), ::testing::ElementsAre(8, 9, 8, 9));
  EXPECT_EQ(response_.outputs(1).parameters().at("space_id").string_param(), "space");
}

TEST_F(InferResponse, ScoresAndEncodingsHaveTheirTypes) {
  ExtractResult scores = Result({.type = FindHeadType("class_scores")}, 1);
  scores.images[0].outputs[0] = {.shape = {1}, .scores = {{.class_index = 5, .score = 0.5f}}};
  ASSERT_TRUE(Convert(std::move(scores)).ok());
  EXPECT_EQ(response_.outputs(0).datatype(), "BYTES");
  EXPECT_THAT(response_.outputs(0).shape(), ::testing::ElementsAre(1, 1));
  EXPECT_THAT(response_.raw_output_contents(0),
              ::testing::StartsWith(std::string("\x0b\0\0\0", 4)));

  ExtractResult bits =
      Result({.type = FindHeadType("gem"), .post = {.encoding = Encoding::kBinary}}, 2);
  for (ImageFeatures& image : bits.images) {
    image.outputs[0] = {.shape = {12}, .packed = "ab"};
  }
  ASSERT_TRUE(Convert(std::move(bits)).ok());
  EXPECT_EQ(response_.outputs(0).datatype(), "UINT8");
  EXPECT_THAT(response_.outputs(0).shape(), ::testing::ElementsAre(2, 2));
  EXPECT_EQ(response_.raw_output_contents(0), "abab");
}

}  // namespace
}  // namespace pixpool::kserve
