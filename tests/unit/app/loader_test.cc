#include "server/app/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/memory.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class LoaderTest : public ::testing::Test {
 protected:
  LoaderTest() : bundle_(CopyTinyBundle(models_.path())) {}

  absl::StatusOr<std::unique_ptr<Model>> Load(const Model* like = nullptr) {
    const ModelOptions options = {.device = "cpu"};
    return BundleLoader(options, machine_)({"tiny", "1", bundle_.string()}, like);
  }

  TempDir models_;
  const fs::path bundle_;
  Machine machine_;
};

TEST_F(LoaderTest, MemoryThatIsMissingIsSaidBeforeItIsTaken) {
  if (HeapBytesInUse() == 0) GTEST_SKIP() << "this C library does not say what is in use";
  machine_.memory = 1 << 20;
  const absl::Status status = Load().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("tiny/1"), HasSubstr("passes that check them need"),
                    HasSubstr("but there are only 1 MiB (--max-memory"), HasSubstr("would do")));
}

TEST_F(LoaderTest, ADamagedBundleIsRefused) {
  WriteFile(bundle_ / "backbone.ts", "not what the manifest says");
  const absl::Status status = Load().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("backbone.ts"));
}

TEST_F(LoaderTest, AModelOfTheSameMakeLendsItsPrices) {
  const auto first = Load();
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Load(first->get());
  ASSERT_TRUE(second.ok()) << second.status();
  HeadSpec head;
  head.source.map = 0;
  EXPECT_EQ((*second)->PassBytes({640, 640}, {head}), (*first)->PassBytes({640, 640}, {head}));
  EXPECT_EQ((*second)->UsualBytes(), (*first)->UsualBytes());
}

TEST(MemoryOfBundlesTest, IsMeasuredOnceAndThenInProportion) {
  int64_t resident = 100;
  MemoryOfBundles memory([&resident] { return resident; });
  memory.Measure(0);
  EXPECT_EQ(memory.With(0), 100) << "a start without a model";
  EXPECT_EQ(memory.With(10), 110) << "before the first load";
  resident = 150;
  memory.Measure(10);
  EXPECT_EQ(memory.With(10), 150);
  resident = 1'000;  // passes
  memory.Measure(10);
  EXPECT_EQ(memory.With(10), 150);
  EXPECT_EQ(memory.With(20), 200);
  EXPECT_EQ(memory.With(0), 100);
}

TEST(MemoryOfBundlesTest, AFirstSmallBundleDoesNotMakeALargeOneLookHuge) {
  constexpr int64_t kMiB = 1 << 20;
  int64_t resident = 140 * kMiB;
  MemoryOfBundles memory([&resident] { return resident; });
  resident = 150 * kMiB;  // the engine's own, most of it
  memory.Measure(10'000);
  EXPECT_EQ(memory.With(10'000), 150 * kMiB);
  EXPECT_EQ(memory.With(0), 140 * kMiB);
  EXPECT_EQ(memory.With(10'000 + 20 * kMiB), (150 + 8 * 20) * kMiB);
}

}  // namespace
}  // namespace pixpool
