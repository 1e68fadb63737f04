#include "server/rpc/region_convert.h"

#include <gtest/gtest.h>

#include "server/base/error.h"
#include "server/rpc/extract_convert.h"
#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

TEST(RegionConvertTest, RegionsAreTakenWithTheirImage) {
  v1::ExtractFeaturesRequest request;
  v1::Region* region = request.add_images()->add_regions();
  region->set_region_id("face");
  region->set_left(0.25);
  region->set_top(1);
  region->set_right(2);
  region->set_bottom(3);
  region->set_relative(true);
  const auto out = ExtractRequestFromProto(request);
  ASSERT_TRUE(out.ok()) << out.status();
  ASSERT_EQ(out->images[0].regions.size(), 1u);
  const RegionInput& got = out->images[0].regions[0];
  EXPECT_EQ(got.id.data(), request.images(0).regions(0).region_id().data());
  EXPECT_EQ(got.box.left, 0.25);
  EXPECT_EQ(got.box.top, 1);
  EXPECT_EQ(got.box.right, 2);
  EXPECT_EQ(got.box.bottom, 3);
  EXPECT_TRUE(got.relative);

  const auto of_stream = StreamRequestFromProto(v1::StreamConfig(), request.images(0));
  ASSERT_TRUE(of_stream.ok());
  EXPECT_EQ(of_stream->images[0].regions.size(), 1u);
}

TEST(RegionConvertTest, OptionsThatAreLeftOutStayUnset) {
  const auto out = RegionOptionsFromProto(v1::RegionOptions());
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->mode, RegionMode::kMap);
  EXPECT_FALSE(out->pooling.has_value());
  EXPECT_TRUE(out->output_size.empty());
  EXPECT_FALSE(out->sampling_ratio.has_value());
  EXPECT_FALSE(out->aligned.has_value());
  EXPECT_FALSE(out->include_image);
}

TEST(RegionConvertTest, OptionsAreTakenOfRequestAndStream) {
  v1::RegionOptions options;
  options.set_mode(v1::REGION_MODE_CROP);
  options.set_pooling(v1::REGION_POOLING_ROI_POOL);
  options.add_output_size(3);
  options.add_output_size(4);
  options.set_sampling_ratio(0);
  options.set_aligned(false);
  options.set_include_image(true);
  v1::ExtractFeaturesRequest request;
  *request.mutable_region_options() = options;
  v1::StreamConfig config;
  *config.mutable_region_options() = options;
  for (const auto& out :
       {ExtractRequestFromProto(request), StreamRequestFromProto(config, v1::Image())}) {
    ASSERT_TRUE(out.ok()) << out.status();
    EXPECT_EQ(out->regions.mode, RegionMode::kCrop);
    EXPECT_EQ(out->regions.pooling, RegionPoolingKind::kRoiPool);
    EXPECT_EQ(out->regions.output_size, (std::vector<int>{3, 4}));
    EXPECT_EQ(out->regions.sampling_ratio, 0);
    EXPECT_EQ(out->regions.aligned, false);
    EXPECT_TRUE(out->regions.include_image);
  }
}

TEST(RegionConvertTest, UnknownEnumValuesAreRefusedByName) {
  v1::ExtractFeaturesRequest request;
  const auto field = [&request] {
    const auto details = GetErrorDetails(ExtractRequestFromProto(request).status());
    return details ? details->field : "none";
  };
  request.mutable_region_options()->set_mode(static_cast<v1::RegionMode>(9));
  EXPECT_EQ(field(), "region_options.mode");
  request.mutable_region_options()->set_mode(v1::REGION_MODE_MAP);
  request.mutable_region_options()->set_pooling(static_cast<v1::RegionPooling>(9));
  EXPECT_EQ(field(), "region_options.pooling");
}

// The space ids of regions' maps, where there are such, are theirs.
TEST(RegionConvertTest, ResultsCarryBoxHeadsAndSpaces) {
  FakeRegistry fake;
  HeadSpec head;
  head.type = FindHeadType("global_avg");
  head.id = "avg";
  head.space_id = "of pictures";
  ExtractResult result;
  result.model = *fake.registry.Get("", "");
  result.heads = std::make_shared<const std::vector<HeadSpec>>(1, head);
  head.space_id = "of regions";
  result.region_heads = std::make_shared<const std::vector<HeadSpec>>(1, head);
  ImageFeatures image;
  image.regions.push_back({.id = "left eye", .box = {1, 2, 3.5, 4}, .outputs = {{.values = {7}}}});
  v1::ImageResult out;
  ImageResultToProto(result, std::move(image), &out);
  EXPECT_EQ(out.features().head_results_size(), 0);
  ASSERT_EQ(out.features().regions_size(), 1);
  const v1::RegionFeatures& region = out.features().regions(0);
  EXPECT_EQ(region.region_id(), "left eye");
  EXPECT_EQ(region.left_px(), 1);
  EXPECT_EQ(region.top_px(), 2);
  EXPECT_EQ(region.right_px(), 3.5);
  EXPECT_EQ(region.bottom_px(), 4);
  ASSERT_EQ(region.head_results_size(), 1);
  EXPECT_EQ(region.head_results(0).values(0), 7);
  EXPECT_EQ(region.head_results(0).space_id(), "of regions");
}

}  // namespace
}  // namespace pixpool
