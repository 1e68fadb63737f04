#include "server/app/health_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "absl/time/time.h"

namespace pixpool {
namespace {

TEST(HealthWatchTest, TellsTheFirstAndEachChangeOnce) {
  HealthChecks checks;
  std::atomic<bool> well{false};
  checks.Add("disk", [&] { return well ? absl::OkStatus() : absl::InternalError("is full"); });
  absl::Mutex mu;
  std::vector<absl::Status> told;
  const auto told_are = [&](size_t count) {
    absl::MutexLock lock(&mu);
    const auto enough = [&] { return told.size() >= count; };
    mu.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(10));
    return told.size() == count;
  };
  HealthWatch watch(
      &checks,
      [&](const absl::Status& now) {
        absl::MutexLock lock(&mu);
        told.push_back(now);
      },
      std::chrono::milliseconds(1));
  EXPECT_TRUE(told_are(1));
  watch.Look();
  EXPECT_TRUE(told_are(1)) << "nothing has changed";
  well = true;
  watch.Look();
  EXPECT_TRUE(told_are(2)) << "at once";
  well = false;
  EXPECT_TRUE(told_are(3)) << "by itself";
  EXPECT_EQ(told[0], absl::UnavailableError("disk: is full"));
  EXPECT_TRUE(told[1].ok());
  EXPECT_EQ(told[2], told[0]);
}

}  // namespace
}  // namespace pixpool
