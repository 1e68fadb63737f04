#include "server/base/call_context.h"

#include <gtest/gtest.h>

#include "server/base/error.h"

namespace pixpool {
namespace {

constexpr TimePoint kDeadline = TimePoint(std::chrono::seconds(100));

TEST(CallContextTest, IsWorthDoingUntilTheDeadline) {
  const CallContext context(kDeadline);
  EXPECT_TRUE(context.Check(kDeadline - std::chrono::nanoseconds(1), "decode").ok());
  const absl::Status late = context.Check(kDeadline, "decode");
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(GetErrorDetails(late)->reason, ErrorReason::kDeadlineInQueue);
}

TEST(CallContextTest, NamesTheStage) {
  const CallContext context(kDeadline);
  const absl::Status late = context.Check(kDeadline, "backbone");
  EXPECT_NE(late.message().find("backbone"), absl::string_view::npos);
  const auto details = GetErrorDetails(late);
  ASSERT_TRUE(details.has_value());
  ASSERT_EQ(details->metadata.size(), 1u);
  EXPECT_EQ(details->metadata[0].second, "backbone");
}

TEST(CallContextTest, CancelledWorkIsNotWorthDoing) {
  CallContext context(kDeadline);
  EXPECT_FALSE(context.cancelled());
  context.Cancel();
  EXPECT_TRUE(context.cancelled());
  const absl::Status status = context.Check(kDeadline - std::chrono::seconds(1), "batch");
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(GetErrorDetails(status)->reason, ErrorReason::kCancelled);
}

TEST(CallContextTest, ADeadlineThatPassedIsTheCauseOfACancellation) {
  CallContext context(kDeadline);
  context.Cancel();
  EXPECT_EQ(context.Check(kDeadline, "batch").code(), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace pixpool
