#include "server/pipeline/plan_regions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <string>

#include "server/base/error.h"
#include "server/pipeline/plan_request.h"
#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

using ::testing::HasSubstr;

std::string FieldOf(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  return details ? details->field : "none";
}

ErrorReason ReasonOf(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  return details ? details->reason : ErrorReason::kInferenceFailed;
}

// The fake model neither resizes nor crops; its default layer has 8 channels at stride 16.
class PlanRegionsTest : public ::testing::Test {
 protected:
  PlanRegionsTest() { work_.result.model = *fake_.registry.Get("", ""); }

  ImageInput& Add(int width, int height, std::vector<RegionInput> regions) {
    pixels_.emplace_back(static_cast<size_t>(width) * static_cast<size_t>(height) * 3, 'x');
    return work_.request.images.emplace_back(ImageInput{.raw = pixels_.back(),
                                                        .raw_width = width,
                                                        .raw_height = height,
                                                        .is_raw = true,
                                                        .regions = std::move(regions)});
  }

  absl::Status Plan() {
    const absl::StatusOr<AdmissionCost> cost = PlanRequest(options_, &work_);
    if (cost.ok()) cost_ = *cost;
    return cost.status();
  }

  // The status of the first image.
  absl::Status PlanImage() {
    const absl::Status status = Plan();
    EXPECT_TRUE(status.ok()) << status;
    return status.ok() ? work_.images[0].features.status : status;
  }

  // What a whole request is refused with.
  absl::Status Refused(std::vector<HeadRequest> heads) {
    work_.request.heads = std::move(heads);
    const absl::Status status = Plan();
    EXPECT_FALSE(status.ok());
    return status;
  }

  FakeRegistry fake_;
  PipelineOptions options_;
  RequestWork work_;
  AdmissionCost cost_;
  std::deque<std::string> pixels_;
};

TEST_F(PlanRegionsTest, BoxesAreInPixelsOfPictureAndInput) {
  Add(64, 128,
      {{.id = "a", .box = {1.5, 2, 30, 128}},
       {.id = "b", .box = {0.25, 0, 1, 0.5}, .relative = true}});
  work_.request.input.resize = ResizeMode::kExact;
  work_.request.input.height = 64;
  work_.request.input.width = 128;
  ASSERT_TRUE(PlanImage().ok()) << PlanImage();
  const ImageState& image = work_.images[0];
  ASSERT_EQ(image.features.regions.size(), 2u);
  EXPECT_EQ(image.features.regions[0].id, "a");
  EXPECT_EQ(image.features.regions[0].box.left, 1.5);
  EXPECT_EQ(image.features.regions[1].box.left, 16);
  EXPECT_EQ(image.features.regions[1].box.right, 64);
  EXPECT_EQ(image.features.regions[1].box.bottom, 64);
  ASSERT_EQ(image.regions.size(), 2u);
  EXPECT_EQ(image.regions[0].left, 3);
  EXPECT_EQ(image.regions[0].top, 1);
  EXPECT_EQ(image.regions[1].right, 128);
  EXPECT_EQ(image.regions[1].bottom, 32);
  EXPECT_FALSE(work_.TakesWhole(image));
}

TEST_F(PlanRegionsTest, WhatIsNoRegionFailsItsImageByField) {
  const float nan = NAN;
  const float inf = INFINITY;
  const std::vector<std::pair<RegionInput, std::string>> bad = {
      {{.box = {-1, 0, 5, 5}}, "left"},
      {{.box = {nan, 0, 5, 5}}, "left"},
      {{.box = {0, -0.1, 5, 5}}, "top"},
      {{.box = {0, 0, 32.5, 5}}, "right"},
      {{.box = {0, 0, inf, 5}}, "right"},
      {{.box = {0, 0, 5, 48.01}}, "bottom"},
      {{.box = {5, 0, 5, 5}}, "right"},
      {{.box = {0, 6, 5, 5}}, "bottom"},
      {{.box = {0, 0, 1.5, 1}, .relative = true}, "right"},
      {{.box = {0, 0, 1, 32}, .relative = true}, "bottom"},
      {{.box = {}}, "right"},
  };
  for (const auto& [region, field] : bad) {
    work_.request.images.clear();
    Add(32, 48, {{.box = {0, 0, 32, 48}}, region});
    Add(32, 48, {{.box = {0, 0, 32, 48}}});
    const absl::Status status = PlanImage();
    EXPECT_EQ(FieldOf(status), "images[0].regions[1]." + field);
    EXPECT_EQ(ReasonOf(status), ErrorReason::kRequestInvalid);
    EXPECT_TRUE(work_.images[1].features.status.ok());
  }
}

TEST_F(PlanRegionsTest, MoreThanTheLimitFailTheirImage) {
  options_.max_regions_per_image = 2;
  const RegionInput one = {.box = {0, 0, 5, 5}};
  Add(32, 32, {one, one, one});
  Add(32, 32, {one, one});
  const absl::Status status = PlanImage();
  EXPECT_EQ(ReasonOf(status), ErrorReason::kLimitExceeded);
  EXPECT_EQ(FieldOf(status), "images[0].regions");
  EXPECT_THAT(std::string(status.message()), HasSubstr("--max-regions-per-image"));
  EXPECT_TRUE(work_.images[1].features.status.ok());
}

TEST_F(PlanRegionsTest, ARegionThatTheCropCutsOffFailsItsImage) {
  work_.request.input.crop = CropMode::kCenter;
  Add(96, 32, {{.box = {0, 0, 33, 32}}, {.box = {0, 0, 32, 32}}});
  const absl::Status status = PlanImage();  // the crop begins at 32
  EXPECT_EQ(FieldOf(status), "images[0].regions[1]");
  EXPECT_EQ(ReasonOf(status), ErrorReason::kRequestInvalid);
  EXPECT_THAT(std::string(status.message()), HasSubstr("CROP_MODE_NONE"));
}

TEST_F(PlanRegionsTest, OptionsAreCheckedByField) {
  const auto refused = [](const RegionOptions& options) {
    const absl::Status status = ResolveRegionPooling(options).status();
    EXPECT_EQ(ReasonOf(status), ErrorReason::kRequestInvalid);
    return FieldOf(status);
  };
  EXPECT_EQ(refused({.output_size = {0}}), "region_options.output_size");
  EXPECT_EQ(refused({.output_size = {7, 65}}), "region_options.output_size");
  EXPECT_EQ(refused({.output_size = {1, 2, 3}}), "region_options.output_size");
  EXPECT_EQ(refused({.sampling_ratio = 17}), "region_options.sampling_ratio");
  EXPECT_EQ(refused({.sampling_ratio = -1}), "region_options.sampling_ratio");
  const RegionPoolingKind pool = RegionPoolingKind::kRoiPool;
  EXPECT_EQ(refused({.pooling = pool, .sampling_ratio = 0}), "region_options.sampling_ratio");
  EXPECT_EQ(refused({.pooling = pool, .aligned = true}), "region_options.aligned");
  const RegionPooling made =
      *ResolveRegionPooling({.output_size = {3, 5}, .sampling_ratio = 2, .aligned = false});
  EXPECT_EQ(made.Canonical(), ";region=roi_align:3x5:2:false");
  EXPECT_EQ(ResolveRegionPooling({.output_size = {3}})->width, 3);
  EXPECT_EQ(ResolveRegionPooling({})->Canonical(), RegionPooling().Canonical());
}

TEST_F(PlanRegionsTest, OptionsOfMapsAreNotForCrops) {
  const auto refused = [](RegionOptions options) {
    options.mode = RegionMode::kCrop;
    const absl::Status status = ResolveRegionPooling(options).status();
    EXPECT_EQ(ReasonOf(status), ErrorReason::kRequestInvalid);
    return FieldOf(status);
  };
  EXPECT_EQ(refused({.pooling = RegionPoolingKind::kRoiAlign}), "region_options.pooling");
  EXPECT_EQ(refused({.output_size = {7}}), "region_options.output_size");
  EXPECT_EQ(refused({.sampling_ratio = 0}), "region_options.sampling_ratio");
  EXPECT_EQ(refused({.aligned = true}), "region_options.aligned");
  EXPECT_TRUE(ResolveRegionPooling({.mode = RegionMode::kCrop, .include_image = true}).ok());
}

TEST_F(PlanRegionsTest, CropsAreWholePixels) {
  work_.request.regions.mode = RegionMode::kCrop;
  work_.request.input.resize = ResizeMode::kExact;
  Add(64, 48,
      {{.id = "a", .box = {0.5, 1.5, 20.5, 21.5}},
       {.box = {10.2, 10.2, 10.4, 10.4}},
       {.box = {63.8, 47.9, 64, 48}},
       {.box = {0, 0, 0.5, 1}, .relative = true}});
  ASSERT_TRUE(PlanImage().ok()) << PlanImage();
  const ImageState& image = work_.images[0];
  ASSERT_EQ(image.crops.size(), 4u);
  EXPECT_EQ(image.crops[0].part, (Region{0, 2, 20, 20}));  // half to even
  EXPECT_EQ(image.crops[1].part, (Region{10, 10, 1, 1}));
  EXPECT_EQ(image.crops[2].part, (Region{63, 47, 1, 1}));
  EXPECT_EQ(image.crops[3].part, (Region{0, 0, 32, 48}));
  EXPECT_EQ(image.features.regions[0].id, "a");
  EXPECT_EQ(image.features.regions[0].box.bottom, 22);
  EXPECT_EQ(image.features.input, (Size{32, 32}));
  EXPECT_EQ(work_.result.region_heads, nullptr) << "the spaces of pictures";
  EXPECT_FALSE(work_.TakesWhole(image));
  EXPECT_EQ(work_.PassCount(image), 4u);
  ASSERT_NE(image.passes, nullptr);
  EXPECT_EQ(image.passes->features.size(), 4u);
}

TEST_F(PlanRegionsTest, EachCropHasAllPasses) {
  work_.request.regions.mode = RegionMode::kCrop;
  work_.request.regions.include_image = true;
  work_.request.input.flip = true;
  work_.request.input.scales = {0.5, 1};
  Add(128, 128, {{.box = {0, 0, 40, 50}}, {.box = {0, 0, 64, 64}}});
  ASSERT_TRUE(PlanImage().ok()) << PlanImage();
  EXPECT_EQ(work_.PassCount(work_.images[0]), 12u);
  EXPECT_EQ(cost_.passes, 12);
  EXPECT_EQ(work_.images[0].crops[0].input, (Size{40, 50}));
  EXPECT_EQ(work_.images[0].features.input, (Size{128, 128}));
}

TEST_F(PlanRegionsTest, ACropThatTheNetworkDoesNotTakeFailsItsImage) {
  work_.request.regions.mode = RegionMode::kCrop;
  Add(64, 64, {{.box = {0, 0, 20, 20}}, {.box = {0, 0, 20, 15}}});  // neither resize nor crop
  const absl::Status status = PlanImage();
  EXPECT_EQ(ReasonOf(status), ErrorReason::kRequestInvalid);
  EXPECT_EQ(FieldOf(status), "images[0].regions[1]");
}

// Of the picture itself nothing is made.
TEST_F(PlanRegionsTest, CropsOfAPictureThatIsTooLargeForTheNetworkAreTaken) {
  options_.input.max_side = 64;
  work_.request.regions.mode = RegionMode::kCrop;
  Add(200, 100, {{.box = {0, 0, 60, 40}}});
  EXPECT_TRUE(PlanImage().ok()) << PlanImage();
  EXPECT_EQ(work_.images[0].features.input, (Size{60, 40}));
  work_.request.regions.include_image = true;
  EXPECT_EQ(ReasonOf(PlanImage()), ErrorReason::kLimitExceeded);
}

TEST_F(PlanRegionsTest, CropsCostAsPicturesDo) {
  work_.request.regions.mode = RegionMode::kCrop;
  const RegionInput all = {.box = {0, 0, 512, 512}};
  Add(512, 512, {all, all, all});
  ASSERT_TRUE(Plan().ok());
  EXPECT_GE(cost_.bytes, 512 * 512 * 3 + 3 * 8 * 4);
  EXPECT_GT(cost_.pixels, 2 * 512 * 512) << "the inputs of all wait for their passes";
  options_.image.max_pixels = 2 * 512 * 512;
  const absl::Status status = PlanImage();
  EXPECT_EQ(ReasonOf(status), ErrorReason::kLimitExceeded);
  EXPECT_EQ(FieldOf(status), "images[0].regions");
}

TEST_F(PlanRegionsTest, HeadsWithoutAMapAreRefusedByName) {
  Add(32, 32, {{.box = {0, 0, 5, 5}}});
  for (const std::string kind :
       {"class_token", "mean_token", "embedding", "class_activation_map"}) {
    const absl::Status status = Refused({{.kind = "gem"}, {.kind = kind}});
    EXPECT_EQ(ReasonOf(status), ErrorReason::kHeadInvalid) << kind;
    EXPECT_EQ(FieldOf(status), "heads[1]." + kind);
    EXPECT_THAT(std::string(status.message()), HasSubstr("REGION_MODE_CROP"));
  }
  const absl::Status named =
      Refused({{.kind = "bundle_head", .params = {{"name", std::string("vlad")}}}});
  EXPECT_EQ(FieldOf(named), "heads[0].bundle_head");
  // The classifier stands on a map.
  work_.request.heads = {{.kind = "class_scores"}};
  EXPECT_TRUE(PlanImage().ok());
}

TEST_F(PlanRegionsTest, WindowsMustFitTheRegionsMap) {
  Add(512, 512, {{.box = {0, 0, 500, 500}}});
  const HeadRequest window = {.kind = "max_pool",
                              .params = {{"kernel_size", std::vector<int64_t>{8}}}};
  const absl::Status status = Refused({window});
  EXPECT_EQ(ReasonOf(status), ErrorReason::kHeadInvalid);
  EXPECT_EQ(FieldOf(status), "heads[0].max_pool.kernel_size");
  work_.request.regions.output_size = {8};
  EXPECT_TRUE(PlanImage().ok());
}

TEST_F(PlanRegionsTest, SeveralPassesAreRefusedByField) {
  Add(64, 64, {{.box = {0, 0, 5, 5}}});
  work_.request.input.flip = true;
  EXPECT_EQ(FieldOf(Refused({})), "input_options.flip");
  work_.request.input.scales = {0.5, 1};
  EXPECT_EQ(FieldOf(Refused({})), "input_options.scales");
  // One scale is one pass, on whose input the regions lie.
  work_.request.input.scales = {0.5};
  work_.request.input.flip = false;
  ASSERT_TRUE(PlanImage().ok());
  EXPECT_EQ(work_.images[0].regions[0].right, 2.5);
}

TEST_F(PlanRegionsTest, SpacesAreThoseOfTheirPooling) {
  Add(64, 64, {{.box = {0, 0, 5, 5}}});
  ASSERT_TRUE(Plan().ok());
  const std::string whole = (*work_.result.heads)[0].space_id;
  const std::string region = (*work_.result.region_heads)[0].space_id;
  EXPECT_NE(whole, region);
  work_.request.regions.output_size = {7, 7};
  work_.request.regions.sampling_ratio = 0;
  ASSERT_TRUE(Plan().ok());
  EXPECT_EQ((*work_.result.region_heads)[0].space_id, region);
  work_.request.regions.aligned = false;
  ASSERT_TRUE(Plan().ok());
  EXPECT_NE((*work_.result.region_heads)[0].space_id, region);
  EXPECT_EQ((*work_.result.heads)[0].space_id, whole);
}

TEST_F(PlanRegionsTest, CostsAreThoseOfTheRegions) {
  Add(64, 64, {});
  ASSERT_TRUE(Plan().ok());
  const int64_t plain = cost_.bytes;
  EXPECT_EQ(work_.result.region_heads, nullptr);
  EXPECT_EQ(work_.images[0].region_operations, 0);
  EXPECT_EQ(work_.images[0].region_bytes, 0);

  const std::string id(1000, 'i');
  work_.request.images[0].regions = {{.id = id, .box = {0, 0, 5, 5}}, {.box = {0, 0, 64, 64}}};
  ASSERT_TRUE(Plan().ok());
  const int64_t regions = cost_.bytes;
  // Two vectors in place of one, and the region's name.
  EXPECT_GT(regions, plain + 8 * 4 + 1000);
  EXPECT_GT(work_.images[0].region_operations, 2 * 8 * (7 * 7 + 4 * 4));
  EXPECT_GE(work_.images[0].region_bytes, 2 * 8 * 7 * 7 * 4);

  work_.request.regions.include_image = true;
  ASSERT_TRUE(Plan().ok());
  EXPECT_EQ(cost_.bytes, regions + 8 * 4);
  EXPECT_TRUE(work_.TakesWhole(work_.images[0]));
}

TEST_F(PlanRegionsTest, AnAnswerThatIsTooLargeIsRefused) {
  options_.max_response_bytes = 64 << 10;
  work_.request.heads = {{.kind = "feature_map"}};
  work_.request.regions.output_size = {64};
  Add(64, 64, {{.box = {0, 0, 5, 5}}});
  EXPECT_EQ(ReasonOf(Plan()), ErrorReason::kLimitExceeded);
  work_.request.regions.output_size = {32};
  EXPECT_TRUE(Plan().ok());
}

TEST_F(PlanRegionsTest, MemoryOfMapsIsBounded) {
  Add(64, 64, std::vector<RegionInput>(64, {.box = {0, 0, 5, 5}}));
  work_.request.regions.output_size = {64};
  ASSERT_TRUE(Plan().ok());
  EXPECT_LE(work_.images[0].region_bytes, 3 * kRegionMapBytes);
}

TEST_F(PlanRegionsTest, MapsThatDoNotFitTheMemoryAreRefused) {
  Add(64, 64, {{.box = {0, 0, 5, 5}}});
  ASSERT_TRUE(PlanImage().ok());
  const int64_t most = work_.images[0].region_bytes - 1;
  ASSERT_GT(most, 0);
  ASSERT_TRUE(PlanRequest(options_, &work_, most).ok());
  const absl::Status status = work_.images[0].features.status;
  EXPECT_EQ(ReasonOf(status), ErrorReason::kLimitExceeded);
  EXPECT_EQ(FieldOf(status), "images[0].regions");
}

TEST_F(PlanRegionsTest, CropsAreNoLargerThanAPictureMayBe) {
  work_.request.regions.mode = RegionMode::kCrop;
  work_.request.input.resize = ResizeMode::kExact;
  work_.request.input.height = 32;
  work_.request.input.width = 32;
  options_.image.max_pixels = 4 * 100 * 100;
  Add(100, 100, std::vector<RegionInput>(4, {.box = {0, 0, 100, 100}}));
  Add(100, 100, std::vector<RegionInput>(5, {.box = {0, 0, 100, 100}}));
  ASSERT_TRUE(PlanImage().ok()) << PlanImage();
  const absl::Status status = work_.images[1].features.status;
  EXPECT_EQ(ReasonOf(status), ErrorReason::kLimitExceeded);
  EXPECT_EQ(FieldOf(status), "images[1].regions");
  EXPECT_THAT(std::string(status.message()), HasSubstr("pixels of all regions"));
}

}  // namespace
}  // namespace pixpool
