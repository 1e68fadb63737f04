#include "server/pipeline/memory_plan.h"

#include <gtest/gtest.h>

#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

constexpr int64_t kMiB = 1 << 20;

// What is promised to fit, all in all.
int64_t Total(const MemoryPlan& plan) {
  return plan.network + kByteShares * plan.max_bytes + kBytesPerPixel * plan.max_pixels;
}

TEST(MemoryPlan, WithMemoryEnoughTheOptionsHoldAndPassesHaveTheRest) {
  const AdmissionLimits limits;
  const auto plan = PlanMemory(16'384 * kMiB, 320 * kMiB, 1300 * kMiB, limits);
  ASSERT_TRUE(plan.ok());
  EXPECT_FALSE(plan->lowered);
  EXPECT_EQ(plan->max_bytes, limits.max_bytes);
  EXPECT_EQ(plan->max_pixels, limits.max_pixels);
  EXPECT_EQ(Total(*plan), (16'384 - 320) * kMiB);
}

TEST(MemoryPlan, TheLargestPassComesBeforeTheCeilings) {
  const auto plan = PlanMemory(3000 * kMiB, 320 * kMiB, 1500 * kMiB, {});
  ASSERT_TRUE(plan.ok());
  EXPECT_TRUE(plan->lowered);
  EXPECT_NEAR(static_cast<double>(plan->network), 1500.0 * kMiB, 1000);
  EXPECT_LE(Total(*plan), 2680 * kMiB);
}

TEST(MemoryPlan, ButTheCeilingsKeepAThird) {
  const AdmissionLimits limits;
  const auto plan = PlanMemory(1792 * kMiB, 292 * kMiB, 1500 * kMiB, limits);
  ASSERT_TRUE(plan.ok());
  EXPECT_TRUE(plan->lowered);
  EXPECT_NEAR(static_cast<double>(plan->network), 1000.0 * kMiB, 1000);
  EXPECT_LE(Total(*plan), 1500 * kMiB);
  EXPECT_NEAR(static_cast<double>(plan->max_bytes) / static_cast<double>(plan->max_pixels),
              static_cast<double>(limits.max_bytes) / static_cast<double>(limits.max_pixels), 1e-6)
      << "in proportion";
}

TEST(MemoryPlan, TooLittleIsRefusedWithTheFiguresAndTheFlag) {
  const auto plan = PlanMemory(300 * kMiB, 292 * kMiB, 1500 * kMiB, {});
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kFailedPrecondition);
  for (const char* word : {"--max-memory", "306184192", "314572800"}) {
    EXPECT_NE(plan.status().message().find(word), std::string::npos) << plan.status();
  }
  EXPECT_TRUE(PlanMemory(292 * kMiB + kLeastForRequests, 292 * kMiB, 1500 * kMiB, {}).ok());
}

TEST(MemoryPlan, TheOptionGoesBeforeTheMachine) {
  EXPECT_EQ(MemoryOf({.max_memory = 5 * kMiB}), 5 * kMiB);
  EXPECT_GT(MemoryOf({}), 0);
}

TEST(MemoryPlan, ModelsAreAskedForTheirLargestPass) {
  FakeRegistry fake;
  fake.model->SetBytesPerPixel(10);
  const ModelsMemory memory = MemoryOfModels(fake.registry, 100);
  EXPECT_EQ(memory.largest_pass, 100 * 100 * 10);
  EXPECT_EQ(memory.usual_passes, 0);
}

}  // namespace
}  // namespace pixpool
