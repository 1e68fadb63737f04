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

TEST_F(InferResponse, MapsOfDifferentSizesAreRefused) {
  ExtractResult result = Result({.type = FindHeadType("feature_map")}, 2);
  result.images[1].outputs[0].shape = {2, 1};
  const absl::Status status = Convert(std::move(result));
  EXPECT_EQ(GetErrorDetails(status)->reason, ErrorReason::kRequestInvalid);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("differ in size"));
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
