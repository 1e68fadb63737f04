#include "server/pipeline/memory_plan.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
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
  for (const char* word : {"--max-memory", "take 292 MiB", "only 300 MiB", "368 MiB would do"}) {
    EXPECT_NE(plan.status().message().find(word), std::string::npos) << plan.status();
  }
  EXPECT_TRUE(PlanMemory(368 * kMiB, 292 * kMiB, 1500 * kMiB, {}).ok());
  EXPECT_TRUE(PlanMemory(292 * kMiB + kLeastForRequests, 292 * kMiB, 1500 * kMiB, {}).ok());
}

// The numbers of a row of the examples in docs/sizing.md, one for each column. A cell may show how
// its number comes about: "270 + 2 * 11 = 292".
std::vector<int64_t> ExampleRow(const std::string& begin) {
  std::ifstream file(PIXPOOL_SIZING_MD);
  std::vector<int64_t> numbers;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| " + begin)) continue;
    const std::vector<std::string> cells = absl::StrSplit(line.substr(0, line.size() - 2), " | ");
    for (const std::string& cell : cells) {
      if (cell.starts_with("| ")) continue;
      const std::string number = cell.substr(cell.find_last_of("= ") + 1);
      numbers.push_back(std::stoll(absl::StrReplaceAll(number, {{",", ""}})));
    }
  }
  return numbers;
}

TEST(MemoryPlan, TheExamplesOfTheSizingGuideAreWhatIsPlanned) {
  const auto memory = ExampleRow("`bytes`");
  const auto models = ExampleRow("`models`");
  const auto largest = ExampleRow("`largest_pass`");
  const auto network = ExampleRow("`network`");
  const auto bytes = ExampleRow("`max_in_flight_bytes`");
  const auto pixels = ExampleRow("3 * `max_in_flight_pixels`");
  ASSERT_EQ(memory, (std::vector<int64_t>{1024, 4096}));
  for (size_t i = 0; i < memory.size(); ++i) {
    const auto plan = PlanMemory(memory[i] * kMiB, models[i] * kMiB, largest[i] * kMiB, {});
    ASSERT_TRUE(plan.ok());
    EXPECT_NEAR(static_cast<double>(plan->network) / kMiB, static_cast<double>(network[i]), 1);
    EXPECT_NEAR(static_cast<double>(plan->max_bytes) / kMiB, static_cast<double>(bytes[i]), 1);
    EXPECT_NEAR(static_cast<double>(kBytesPerPixel * plan->max_pixels) / kMiB,
                static_cast<double>(pixels[i]), 1);
  }
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
