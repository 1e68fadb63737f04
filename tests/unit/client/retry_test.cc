#include "client/cpp/retry.h"

#include "client/cpp/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/fakes.h"

namespace pixpool::client {
namespace {

constexpr absl::Duration kLong = absl::Hours(1);

absl::Status Error(grpc::StatusCode code, const std::string& reason, int retry_after_ms = -1) {
  return FromGrpcStatus(CallError(code, "", reason, "", retry_after_ms));
}

TEST(RetryTest, ByReason) {
  using grpc::StatusCode;
  for (const char* reason : {"OVERLOADED", "MODEL_LOADING", "DRAINING"}) {
    EXPECT_TRUE(IsRetryable(Error(StatusCode::UNAVAILABLE, reason))) << reason;
  }
  EXPECT_TRUE(IsRetryable(absl::UnavailableError("connection refused")));
  EXPECT_FALSE(IsRetryable(Error(StatusCode::UNAVAILABLE, "SOMETHING_ELSE")));
  EXPECT_FALSE(IsRetryable(Error(StatusCode::INVALID_ARGUMENT, "LIMIT_EXCEEDED")));
  EXPECT_FALSE(IsRetryable(Error(StatusCode::DEADLINE_EXCEEDED, "DEADLINE_IN_QUEUE")));
  EXPECT_FALSE(IsRetryable(Error(StatusCode::INTERNAL, "INFERENCE_FAILED")));
  EXPECT_FALSE(IsRetryable(absl::ResourceExhaustedError("message too large")));
  EXPECT_TRUE(IsRetryable(absl::ResourceExhaustedError(
      "Stream removed (RST_STREAM (Received RST_STREAM with error code 11))")));
  // The reason does not make another code retryable.
  EXPECT_FALSE(IsRetryable(Error(StatusCode::RESOURCE_EXHAUSTED, "OVERLOADED")));
  EXPECT_TRUE(IsRetryable(Error(StatusCode::RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED")));
  EXPECT_FALSE(IsRetryable(Error(StatusCode::UNAVAILABLE, "QUOTA_EXCEEDED")));
  EXPECT_FALSE(IsRetryable(absl::OkStatus()));
}

TEST(RetryTest, BackoffGrowsToItsMaximumThenGivesUp) {
  RetrySchedule schedule({.max_attempts = 6,
                          .initial_backoff = absl::Milliseconds(100),
                          .max_backoff = absl::Milliseconds(500),
                          .multiplier = 2,
                          .jitter = 0});
  const absl::Status error = absl::UnavailableError("");
  std::vector<absl::Duration> delays;
  while (const auto delay = schedule.Next(error, kLong, 0.5)) delays.push_back(*delay);
  EXPECT_THAT(delays, testing::ElementsAre(absl::Milliseconds(100), absl::Milliseconds(200),
                                           absl::Milliseconds(400), absl::Milliseconds(500),
                                           absl::Milliseconds(500)));
}

TEST(RetryTest, JitterSpreadsBackoffBothWays) {
  const RetryPolicy policy{.initial_backoff = absl::Seconds(1), .jitter = 0.2};
  const absl::Status error = absl::UnavailableError("");
  EXPECT_EQ(RetrySchedule(policy).Next(error, kLong, 0.0), absl::Milliseconds(800));
  EXPECT_EQ(RetrySchedule(policy).Next(error, kLong, 0.5), absl::Milliseconds(1000));
  EXPECT_GT(RetrySchedule(policy).Next(error, kLong, 0.99), absl::Milliseconds(1190));
}

TEST(RetryTest, StatedWaitIsNeverCutShort) {
  const RetryPolicy policy{.jitter = 0.5};
  const absl::Status error = Error(grpc::StatusCode::UNAVAILABLE, "OVERLOADED", 700);
  EXPECT_EQ(RetrySchedule(policy).Next(error, kLong, 0.0), absl::Milliseconds(700));
  EXPECT_EQ(RetrySchedule(policy).Next(error, kLong, 0.5), absl::Milliseconds(875));
}

TEST(RetryTest, NoRetryThatOutlastsTheDeadline) {
  const absl::Status error = Error(grpc::StatusCode::UNAVAILABLE, "OVERLOADED", 700);
  const RetryPolicy policy{.jitter = 0};
  EXPECT_EQ(RetrySchedule(policy).Next(error, absl::Milliseconds(700), 0), std::nullopt);
  EXPECT_NE(RetrySchedule(policy).Next(error, absl::Milliseconds(701), 0), std::nullopt);
}

TEST(RetryTest, OneAttemptMeansNoRetry) {
  RetrySchedule schedule({.max_attempts = 1});
  EXPECT_EQ(schedule.Next(absl::UnavailableError(""), kLong, 0), std::nullopt);
}

TEST(RetryTest, PolicyIsChecked) {
  EXPECT_TRUE(CheckRetryPolicy({}).ok());
  const auto message = [](const RetryPolicy& p) {
    return std::string(CheckRetryPolicy(p).message());
  };
  EXPECT_THAT(message({.max_attempts = 0}), testing::HasSubstr("max_attempts must be at least 1"));
  EXPECT_THAT(message({.initial_backoff = absl::ZeroDuration()}), testing::HasSubstr("backoff"));
  EXPECT_THAT(message({.max_backoff = absl::Milliseconds(1)}), testing::HasSubstr("max_backoff"));
  EXPECT_THAT(message({.multiplier = 0.5}), testing::HasSubstr("multiplier"));
  EXPECT_THAT(message({.jitter = 1.5}), testing::HasSubstr("jitter"));
}

TEST(RetryTest, RandomUnitStaysInItsRangeAndMoves) {
  const double first = RandomUnit();
  bool moved = false;
  for (int i = 0; i < 100; ++i) {
    const double r = RandomUnit();
    EXPECT_GE(r, 0.0);
    EXPECT_LT(r, 1.0);
    moved |= r != first;
  }
  EXPECT_TRUE(moved);
}

}  // namespace
}  // namespace pixpool::client
