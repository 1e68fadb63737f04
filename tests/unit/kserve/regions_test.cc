#include "server/kserve/regions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "server/base/error.h"
#include "server/base/text.h"
#include "server/kserve/request.h"
#include "server/kserve/tensor_bytes.h"

namespace pixpool::kserve {
namespace {

using ::testing::HasSubstr;
using Shape = std::vector<int64_t>;

PipelineOptions Options() {
  PipelineOptions options;
  options.max_regions_per_image = 3;
  return options;
}

template <typename T>
std::string Raw(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// 0, 1, 2 and so on, as the edges of so many regions.
std::vector<float> Edges(int regions) {
  std::vector<float> edges;
  for (int i = 0; i < 4 * regions; ++i) edges.push_back(static_cast<float>(i));
  return edges;
}

class KserveRegionsTest : public ::testing::Test {
 protected:
  explicit KserveRegionsTest(int images = 1) { Images(images); }

  void Images(int count) {
    request_.Clear();
    std::string files;
    for (int i = 0; i < count; ++i) AppendBytes("x", &files);
    Add("image", "BYTES", {count}, files);
  }

  inference::ModelInferRequest::InferInputTensor* Add(const std::string& name,
                                                      const std::string& type, const Shape& shape,
                                                      const std::string& raw) {
    auto* input = request_.add_inputs();
    input->set_name(name);
    input->set_datatype(type);
    input->mutable_shape()->Add(shape.begin(), shape.end());
    request_.add_raw_input_contents(raw);
    return input;
  }

  absl::StatusOr<ExtractRequest> Read() const {
    return ExtractRequestFromInfer(request_, Options());
  }

  // The number of regions of each image, and left of each of them.
  void ExpectRegions(const std::vector<std::vector<double>>& lefts) const {
    const auto out = Read();
    ASSERT_TRUE(out.ok()) << out.status();
    ASSERT_EQ(out->images.size(), lefts.size());
    for (size_t i = 0; i < lefts.size(); ++i) {
      std::vector<double> found;
      for (const RegionInput& region : out->images[i].regions) found.push_back(region.box.left);
      EXPECT_EQ(found, lefts[i]) << "image " << i;
    }
  }

  void ExpectRefused(const std::string& field, const std::string& text) const {
    const auto out = Read();
    ASSERT_FALSE(out.ok()) << field << text;
    const ErrorDetails details = GetErrorDetails(out.status()).value_or(ErrorDetails());
    EXPECT_EQ(details.field, field);
    EXPECT_EQ(details.reason, ErrorReason::kRequestInvalid);
    EXPECT_THAT(std::string(ToStd(out.status().message())), HasSubstr(text));
  }

  inference::ModelInferRequest request_;
};

TEST_F(KserveRegionsTest, EachImageHasItsRows) {
  Images(2);
  Add("regions", "FP32", {2, 2, 4}, Raw(Edges(4)));
  ExpectRegions({{0, 4}, {8, 12}});
  const auto out = Read();
  const RegionF& box = out->images[1].regions[1].box;
  EXPECT_EQ(box.top, 13);
  EXPECT_EQ(box.right, 14);
  EXPECT_EQ(box.bottom, 15);
  EXPECT_FALSE(out->images[1].regions[1].relative);
  EXPECT_EQ(out->regions.mode, RegionMode::kMap);
}

TEST_F(KserveRegionsTest, OneImageNeedsNoAxisOfItsOwn) {
  Add("regions", "FP32", {2, 4}, Raw(Edges(2)));
  ExpectRegions({{0, 4}});
  Images(2);
  Add("regions", "FP32", {2, 4}, Raw(Edges(2)));
  ExpectRefused("inputs[1].shape", "\"regions\" is FP32 [2,4]; for 2 images it must be");
}

TEST_F(KserveRegionsTest, CountsCutEachImagesRows) {
  for (const bool wide : {false, true}) {
    for (const Shape& shape : {Shape{3}, Shape{3, 1}}) {
      Images(3);
      Add("regions", "FP32", {3, 2, 4}, Raw(Edges(6)));
      Add("region_count", wide ? "INT64" : "INT32", shape,
          wide ? Raw<int64_t>({1, 0, 2}) : Raw<int32_t>({1, 0, 2}));
      ExpectRegions({{0}, {}, {16, 20}});
    }
  }
}

TEST_F(KserveRegionsTest, TheOrderOfInputsIsFree) {
  request_.Clear();
  Add("region_count", "INT32", {1}, Raw<int32_t>({1}));
  Add("regions", "FP32", {2, 4}, Raw(Edges(2)));
  std::string file;
  AppendBytes("picture", &file);
  Add("image", "BYTES", {1, 1}, file);
  ExpectRegions({{0}});
  EXPECT_EQ(Read()->images[0].encoded, "picture");
}

TEST_F(KserveRegionsTest, TypedContentsAreReadToo) {
  request_.clear_raw_input_contents();
  request_.mutable_inputs(0)->mutable_contents()->add_bytes_contents("x");
  auto* regions = Add("regions", "FP32", {1, 2, 4}, "");
  for (const float edge : Edges(2)) regions->mutable_contents()->add_fp32_contents(edge);
  auto* count = Add("region_count", "INT32", {1}, "");
  count->mutable_contents()->add_int_contents(2);
  request_.clear_raw_input_contents();
  ExpectRegions({{0, 4}});
  count->mutable_contents()->set_int_contents(0, 3);
  ExpectRefused("inputs[2].contents", "\"region_count\" of image 0 is 3; it must be 0 to 2");
  count->set_datatype("INT64");
  ExpectRefused("inputs[2].shape", "INT64 [1], which takes 1 values, but there are 0");
  count->mutable_contents()->add_int64_contents(1);
  ExpectRegions({{0}});
}

TEST_F(KserveRegionsTest, ParametersAreThoseOfTheApi) {
  Add("regions", "FP32", {1, 4}, Raw(Edges(1)));
  auto& parameters = *request_.mutable_parameters();
  parameters["mode"].set_string_param("map");
  parameters["pooling"].set_string_param("roi_align");
  parameters["output_size"].set_string_param("3x5");
  parameters["sampling_ratio"].set_int64_param(2);
  parameters["aligned"].set_bool_param(false);
  parameters["include_image"].set_bool_param(true);
  parameters["relative"].set_bool_param(true);
  const auto out = Read();
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_TRUE(out->images[0].regions[0].relative);
  EXPECT_EQ(out->regions.pooling, RegionPoolingKind::kRoiAlign);
  EXPECT_EQ(out->regions.output_size, (std::vector<int>{3, 5}));
  EXPECT_EQ(out->regions.sampling_ratio, 2);
  EXPECT_EQ(out->regions.aligned, false);
  EXPECT_TRUE(out->regions.include_image);
}

TEST_F(KserveRegionsTest, ShapesAndTypesThatDoNotFitAreRefused) {
  struct Case {
    std::string type;
    Shape shape;
    size_t bytes;
    std::string field;
    std::string text;
  };
  const std::vector<Case> cases = {
      {"FP32", {}, 16, "inputs[1].shape", "FP32 []"},
      {"FP32", {4}, 16, "inputs[1].shape", "FP32 [4]"},
      {"FP32", {1, 5}, 20, "inputs[1].shape", "FP32 [1,5]"},
      {"FP32", {2, 1, 4}, 32, "inputs[1].shape", "for 1 images"},
      {"FP32", {1, -1, 4}, 16, "inputs[1].shape", "[1,-1,4]"},
      {"FP32", {1, 1, 1, 4}, 16, "inputs[1].shape", "[1,1,1,4]"},
      {"FP32", {2, 4}, 31, "inputs[1].shape", "which takes 32 bytes, but there are 31"},
      {"FP32", {INT64_MAX, 4}, 16, "inputs[1].shape", "but there are 16"},
      {"FP64", {1, 4}, 32, "inputs[1].datatype", "FP64 [1,4]"},
      {"FP32", {0, 4}, 0, "inputs[1].shape", "no image has a region"},
  };
  for (const Case& c : cases) {
    Images(1);
    Add("regions", c.type, c.shape, std::string(c.bytes, '\0'));
    ExpectRefused(c.field, c.text);
  }
}

// A message has room for millions of sides.
TEST_F(KserveRegionsTest, ARefusalNamesTheFirstSidesAlone) {
  Add("regions", "FP32", Shape(1000, 1234567), "");
  const auto out = Read();
  ASSERT_FALSE(out.ok());
  EXPECT_THAT(std::string(out.status().message()), HasSubstr("1234567,..."));
  EXPECT_LT(out.status().message().size(), 400u);
}

TEST_F(KserveRegionsTest, CountsThatDoNotFitAreRefused) {
  struct Case {
    std::string type;
    Shape shape;
    std::string raw;
    std::string field;
    std::string text;
  };
  const std::vector<Case> cases = {
      {"INT32", {1}, Raw<int32_t>({1}), "inputs[2].shape", "for 2 images it must be"},
      {"INT32", {2, 2}, Raw<int32_t>({1, 1, 1, 1}), "inputs[2].shape", "INT32 [2,2]"},
      {"INT32", {2}, Raw<int32_t>({1}), "inputs[2].shape", "takes 8 bytes, but there are 4"},
      {"FP32", {2}, Raw<float>({1, 1}), "inputs[2].datatype", "INT32 or INT64"},
      {"INT32", {2}, Raw<int32_t>({1, 3}), "raw_input_contents[2]", "of image 1 is 3"},
      {"INT64", {2}, Raw<int64_t>({-1, 1}), "raw_input_contents[2]", "it must be 0 to 2"},
      {"INT32", {2}, Raw<int32_t>({0, 0}), "inputs[1].shape", "no image has a region"},
  };
  for (const Case& c : cases) {
    Images(2);
    Add("regions", "FP32", {2, 2, 4}, Raw(Edges(4)));
    Add("region_count", c.type, c.shape, c.raw);
    ExpectRefused(c.field, c.text);
  }
  Images(1);
  Add("region_count", "INT32", {1}, Raw<int32_t>({1}));
  ExpectRefused("inputs[1].name", "\"regions\", which is not sent");
}

TEST_F(KserveRegionsTest, MoreThanTheLimitAreNotRead) {
  Images(2);
  Add("regions", "FP32", {2, 4, 4}, Raw(Edges(8)));
  Add("region_count", "INT32", {2}, Raw<int32_t>({3, 4}));
  const auto out = Read();
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_TRUE(out->images[0].invalid.ok());
  EXPECT_EQ(out->images[0].regions.size(), 3u) << "padding is beyond the limit, regions are not";
  const ErrorDetails details = GetErrorDetails(out->images[1].invalid).value_or(ErrorDetails());
  EXPECT_EQ(details.reason, ErrorReason::kLimitExceeded);
  EXPECT_EQ(details.field, "regions");
  EXPECT_THAT(std::string(ToStd(out->images[1].invalid.message())),
              HasSubstr("4; the limit is 3 (--max-regions-per-image)"));
  EXPECT_TRUE(out->images[1].regions.empty());
}

TEST_F(KserveRegionsTest, WhatARegionMayBeIsLeftToThePipeline) {
  Add("regions", "FP32", {1, 4}, Raw<float>({NAN, -1, INFINITY, 0}));
  const auto out = Read();
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_TRUE(std::isnan(out->images[0].regions[0].box.left));
}

TEST_F(KserveRegionsTest, InputsAreNamedOnceAndHaveTheirValuesInOnePlace) {
  Add("regions", "FP32", {1, 4}, Raw(Edges(1)));
  request_.mutable_inputs(1)->mutable_contents()->add_fp32_contents(1);
  ExpectRefused("inputs[1].contents", "in raw_input_contents already");
  request_.mutable_inputs(1)->clear_contents();
  request_.mutable_raw_input_contents()->RemoveLast();
  ExpectRefused("raw_input_contents", "there are 1 for 2 inputs");
  request_.add_raw_input_contents(Raw(Edges(1)));
  Add("regions", "FP32", {1, 4}, Raw(Edges(1)));
  ExpectRefused("inputs[2].name", "\"regions\" is sent twice");
  request_.mutable_inputs(2)->set_name("boxes");
  ExpectRefused("inputs[2].name", "there is no input \"boxes\"; the inputs are \"image\"");
  request_.mutable_inputs(2)->set_name("region_count");
  (*request_.mutable_inputs(2)->mutable_parameters())["shared_memory_region"].set_string_param("r");
  const auto shared = Read();
  EXPECT_EQ(GetErrorDetails(shared.status())->reason, ErrorReason::kNotImplemented);
  EXPECT_EQ(GetErrorDetails(shared.status())->field, "inputs[2].parameters");
}

}  // namespace
}  // namespace pixpool::kserve
