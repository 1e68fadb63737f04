#include "server/rpc/guard.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "server/base/error.h"

namespace pixpool {
namespace {

ErrorReason ReasonOf(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  EXPECT_TRUE(details.has_value()) << status;
  return details ? details->reason : ErrorReason::kCancelled;
}

TEST(GuardTest, RunsTheBody) {
  bool ran = false;
  EXPECT_TRUE(Guard([&] { ran = true; }).ok());
  EXPECT_TRUE(ran);
}

TEST(GuardTest, NoMemoryMayBeTriedAgainAndABugMayNot) {
  const absl::Status full = Guard([] { throw std::bad_alloc(); });
  ASSERT_EQ(ReasonOf(full), ErrorReason::kOverloaded);
  EXPECT_GT(GetErrorDetails(full)->retry_after, absl::ZeroDuration());
  const absl::Status bug = Guard([] { throw std::length_error("/secret/path"); });
  EXPECT_EQ(ReasonOf(bug), ErrorReason::kInferenceFailed);
  EXPECT_EQ(bug.message(), "internal error");
  EXPECT_EQ(ReasonOf(Guard([] { throw 7; })), ErrorReason::kInferenceFailed);
}

}  // namespace
}  // namespace pixpool
