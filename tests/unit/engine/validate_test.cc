#include "server/engine/validate.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "server/base/error.h"
#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

class ValidateTest : public ::testing::Test {
 protected:
  ValidateTest() { work_.result.model = *fake_.registry.Get("", ""); }

  void AddRaw(int width, int height) {
    pixels_.emplace_back(static_cast<size_t>(width) * static_cast<size_t>(height) * 3, 'x');
    work_.request.images.push_back(
        {.raw = pixels_.back(), .raw_width = width, .raw_height = height, .is_raw = true});
  }

  absl::Status Validate() { return ValidateRequest(options_, &metrics_, &work_, &cost_); }

  FakeRegistry fake_;
  Metrics metrics_;
  EngineOptions options_;
  RequestWork work_;
  AdmissionCost cost_;
  std::deque<std::string> pixels_;
};

TEST_F(ValidateTest, CostIsThatOfTheGoodImages) {
  AddRaw(32, 48);
  AddRaw(16, 16);
  work_.request.images[1].raw.remove_suffix(1);
  ASSERT_TRUE(Validate().ok());
  EXPECT_EQ(cost_.pixels, 32 * 48);
  EXPECT_EQ(cost_.bytes, 32 * 48 * 3 + 8 * 4) << "the good image, and its vector of eight floats";
  EXPECT_TRUE(work_.result.images[0].status.ok());
  EXPECT_FALSE(work_.result.images[1].status.ok());
  EXPECT_EQ(work_.result.images[0].input, (Size{32, 48}));
  EXPECT_EQ((*work_.result.heads)[0].kind, "global_avg");
}

TEST_F(ValidateTest, RawSizesOfHostileRequestsAreSafe) {
  AddRaw(16, 16);
  for (const auto& [width, height] :
       {std::pair{0, 16}, {16, -1}, {2'147'483'647, 2'147'483'647}, {-2'147'483'647, 16}}) {
    work_.request.images[0].raw_width = width;
    work_.request.images[0].raw_height = height;
    ASSERT_TRUE(Validate().ok());
    EXPECT_EQ(work_.result.images[0].status.code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(cost_.pixels, 0);
}

TEST_F(ValidateTest, LimitsHoldExactly) {
  options_.image = {.max_bytes = 100, .max_pixels = 32 * 32, .max_side = 64};
  AddRaw(32, 32);
  AddRaw(33, 32);
  AddRaw(65, 8);
  ASSERT_TRUE(Validate().ok());
  EXPECT_TRUE(work_.result.images[0].status.ok());
  EXPECT_EQ(GetErrorDetails(work_.result.images[1].status)->reason, ErrorReason::kLimitExceeded);
  EXPECT_EQ(GetErrorDetails(work_.result.images[2].status)->reason, ErrorReason::kLimitExceeded);
}

TEST_F(ValidateTest, TheAnswersBytesAreAdmittedToo) {
  AddRaw(64, 64);
  work_.request.heads = {{.kind = "feature_map", .layer = "early"}};
  ASSERT_TRUE(Validate().ok());
  EXPECT_EQ(cost_.bytes, 64 * 64 * 3 + 4 * 4 * 17 * 17);
}

TEST_F(ValidateTest, ResponseSizeIsBoundedBeforeAnyWork) {
  AddRaw(1024, 1024);
  work_.request.heads = {{.kind = "feature_map", .layer = "early"}};
  options_.max_response_bytes = 4 * 4 * 257 * 257 - 1;
  const absl::Status status = Validate();
  EXPECT_EQ(GetErrorDetails(status)->field, "heads");
  options_.max_response_bytes += 1;
  EXPECT_TRUE(Validate().ok());
}

}  // namespace
}  // namespace pixpool
