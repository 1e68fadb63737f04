#include "server/app/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/memory.h"
#include "tests/unit/model/fixtures.h"

namespace pixpool {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class LoaderTest : public ::testing::Test {
 protected:
  absl::Status Load() {
    return LoadBundles(models_.path().string(), {.device = "cpu"}, machine_, &registry_, &metrics_,
                       [this](const std::string& name) { ready_.push_back(name); });
  }

  TempDir models_;
  Machine machine_;
  ModelRegistry registry_{""};
  Metrics metrics_;
  std::vector<std::string> ready_;
};

TEST_F(LoaderTest, AnEmptyRepositorySaysHowToFillIt) {
  const absl::Status status = RegisterBundles(models_.path().string(), &registry_);
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("python -m pixpool.export"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--models-dir"));
}

TEST_F(LoaderTest, BundlesAreLoadingUntilTheyAreReady) {
  CopyTinyBundle(models_.path());
  ASSERT_TRUE(RegisterBundles(models_.path().string(), &registry_).ok());
  EXPECT_FALSE(registry_.AllReady());
  EXPECT_EQ(registry_.List()[0].state, ModelState::kLoading);
  ASSERT_TRUE(Load().ok());
  EXPECT_TRUE(registry_.AllReady());
  EXPECT_THAT(ready_, ElementsAre("tiny"));
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("pixpool_model_ready{model=\"tiny\",version=\"1\"} 1"));
}

TEST_F(LoaderTest, MemoryThatIsMissingIsSaidBeforeItIsTaken) {
  if (HeapBytesInUse() == 0) GTEST_SKIP() << "this C library does not say what is in use";
  CopyTinyBundle(models_.path());
  ASSERT_TRUE(RegisterBundles(models_.path().string(), &registry_).ok());
  machine_.memory = 1 << 20;
  const absl::Status status = Load();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("model tiny version 1"), HasSubstr("passes that check them need"),
                    HasSubstr("but there are only 1 MiB (--max-memory"), HasSubstr("would do")));
  EXPECT_TRUE(ready_.empty());
}

TEST_F(LoaderTest, ADamagedBundleIsReportedAndItsPathIsKeptFromClients) {
  const fs::path bundle = CopyTinyBundle(models_.path());
  ASSERT_TRUE(RegisterBundles(models_.path().string(), &registry_).ok());
  WriteFile(bundle / "backbone.ts", "not what the manifest says");
  const absl::Status status = Load();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("backbone.ts"));
  EXPECT_TRUE(ready_.empty());
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("pixpool_model_ready{model=\"tiny\",version=\"1\"} 0"));
  EXPECT_EQ(registry_.List()[0].state, ModelState::kFailed);
  EXPECT_THAT(registry_.List()[0].message, Not(HasSubstr(models_.path().string())));
}

}  // namespace
}  // namespace pixpool
