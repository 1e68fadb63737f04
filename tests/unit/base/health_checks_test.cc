#include "server/base/health_checks.h"

#include <gtest/gtest.h>

#include <atomic>

namespace pixpool {
namespace {

TEST(HealthChecksTest, NothingToAskIsWell) { EXPECT_TRUE(HealthChecks().Run().ok()); }

TEST(HealthChecksTest, NamesEachThatFailsAndRecoversByItself) {
  HealthChecks checks;
  std::atomic<bool> port{true};
  std::atomic<bool> disk{true};
  checks.Add("port", [&] { return port ? absl::OkStatus() : absl::UnavailableError("is deaf"); });
  checks.Add("sun", [] { return absl::OkStatus(); });
  checks.Add("disk", [&] { return disk ? absl::OkStatus() : absl::InternalError("is full"); });
  EXPECT_TRUE(checks.Run().ok());

  port = false;
  EXPECT_EQ(checks.Run(), absl::UnavailableError("port: is deaf"));
  disk = false;
  EXPECT_EQ(checks.Run(), absl::UnavailableError("port: is deaf; disk: is full"));
  port = disk = true;
  EXPECT_TRUE(checks.Run().ok());
}

}  // namespace
}  // namespace pixpool
