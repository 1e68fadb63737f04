#include "server/pipeline/plan_request.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "server/base/error.h"
#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

class PlanRequestTest : public ::testing::Test {
 protected:
  PlanRequestTest() { work_.result.model = *fake_.registry.Get("", ""); }

  void AddRaw(int width, int height) {
    pixels_.emplace_back(static_cast<size_t>(width) * static_cast<size_t>(height) * 3, 'x');
    work_.request.images.push_back(
        {.raw = pixels_.back(), .raw_width = width, .raw_height = height, .is_raw = true});
  }

  absl::Status Plan() {
    const absl::StatusOr<AdmissionCost> cost = PlanRequest(options_, &work_, most_pass_bytes_);
    if (cost.ok()) cost_ = *cost;
    return cost.status();
  }

  FakeRegistry fake_;
  PipelineOptions options_;
  RequestWork work_;
  AdmissionCost cost_;
  int64_t most_pass_bytes_ = std::numeric_limits<int64_t>::max();
  std::deque<std::string> pixels_;
};

TEST_F(PlanRequestTest, CostIsThatOfTheGoodImagesAndTheBytesOfAll) {
  AddRaw(32, 48);
  AddRaw(16, 16);
  work_.request.images[1].raw.remove_suffix(1);
  ASSERT_TRUE(Plan().ok());
  EXPECT_EQ(cost_.pixels, 32 * 48);
  EXPECT_EQ(cost_.passes, 1);
  EXPECT_EQ(cost_.bytes, 32 * 48 * 3 + (16 * 16 * 3 - 1) + 8 * 4)
      << "both are held, and the vector of eight floats";
  EXPECT_TRUE(work_.images[0].features.status.ok());
  EXPECT_FALSE(work_.images[1].features.status.ok());
  EXPECT_EQ(work_.images[0].features.input, (Size{32, 48}));
  EXPECT_EQ((*work_.result.heads)[0].kind(), "global_avg");
}

// What counts is what decoding holds: of this picture a window of rows.
TEST_F(PlanRequestTest, PixelsAreThoseThatAreHeld) {
  AddRaw(4000, 3000);
  work_.request.input.resize = ResizeMode::kExact;
  work_.request.input.height = 64;
  work_.request.input.width = 64;
  ASSERT_TRUE(Plan().ok());
  EXPECT_TRUE(work_.images[0].features.status.ok()) << work_.images[0].features.status;
  EXPECT_GT(cost_.pixels, 64 * 64);
  EXPECT_LT(cost_.pixels, 4000 * 3000 / 10);
}

// The recipe of the fake model neither resizes nor crops.
TEST_F(PlanRequestTest, AnImageWhosePassIsTooLargeForTheMemoryFailsAlone) {
  fake_.model->SetBytesPerPixel(10);
  most_pass_bytes_ = 32 * 32 * 10;
  AddRaw(32, 32);
  AddRaw(32, 33);
  ASSERT_TRUE(Plan().ok());
  EXPECT_TRUE(work_.images[0].features.status.ok());
  const absl::Status status = work_.images[1].features.status;
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const auto details = GetErrorDetails(status);
  ASSERT_TRUE(details);
  EXPECT_EQ(details->reason, ErrorReason::kLimitExceeded);
  EXPECT_EQ(details->field, "images[1]");
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"limit", "10240"}, {"actual", "10560"}, {"flag", "--max-memory"}};
  EXPECT_EQ(details->metadata, expected);
}

TEST_F(PlanRequestTest, AnInputSizeThatIsTooLargeForTheMemoryFailsTheRequest) {
  fake_.model->SetBytesPerPixel(10);
  most_pass_bytes_ = 64 * 64 * 10;
  AddRaw(32, 32);
  work_.request.input = {.resize = ResizeMode::kExact, .crop = CropMode::kCenter, .height = 64};
  EXPECT_TRUE(Plan().ok());
  work_.request.input.scales = {1, 0.5};
  EXPECT_TRUE(Plan().ok());
  work_.request.input.scales = {1, 1.1};  // the largest decides
  const absl::Status status = Plan();
  const auto details = GetErrorDetails(status);
  ASSERT_TRUE(details) << status;
  EXPECT_EQ(details->reason, ErrorReason::kLimitExceeded);
  EXPECT_EQ(details->field, "input_options.input_height_px");
}

TEST_F(PlanRequestTest, RawSizesOfHostileRequestsAreSafe) {
  AddRaw(16, 16);
  for (const auto& [width, height] :
       {std::pair{0, 16}, {16, -1}, {2'147'483'647, 2'147'483'647}, {-2'147'483'647, 16}}) {
    work_.request.images[0].raw_width = width;
    work_.request.images[0].raw_height = height;
    ASSERT_TRUE(Plan().ok());
    EXPECT_EQ(work_.images[0].features.status.code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(cost_.pixels, 0);
}

TEST_F(PlanRequestTest, LimitsHoldExactly) {
  options_.image = {.max_bytes = 100, .max_pixels = 32 * 32, .max_side = 64};
  AddRaw(32, 32);
  AddRaw(33, 32);
  AddRaw(65, 8);
  ASSERT_TRUE(Plan().ok());
  EXPECT_TRUE(work_.images[0].features.status.ok());
  EXPECT_EQ(GetErrorDetails(work_.images[1].features.status)->reason, ErrorReason::kLimitExceeded);
  EXPECT_EQ(GetErrorDetails(work_.images[2].features.status)->reason, ErrorReason::kLimitExceeded);
}

TEST_F(PlanRequestTest, TheAnswersBytesAreAdmittedToo) {
  AddRaw(64, 64);
  work_.request.heads = {{.kind = "feature_map", .layer = "early"}};
  ASSERT_TRUE(Plan().ok());
  EXPECT_EQ(cost_.bytes, 64 * 64 * 3 + 4 * 4 * 17 * 17);
}

TEST_F(PlanRequestTest, ResponseSizeIsBoundedBeforeAnyWork) {
  AddRaw(1024, 1024);
  work_.request.heads = {{.kind = "feature_map", .layer = "early"}};
  options_.max_response_bytes = 4 * 4 * 257 * 257 - 1;
  const absl::Status status = Plan();
  EXPECT_EQ(GetErrorDetails(status)->field, "heads");
  options_.max_response_bytes = options_.max_response_bytes + 1;
  EXPECT_TRUE(Plan().ok());
}

}  // namespace
}  // namespace pixpool
