#include "client/bench/recorder.h"

#include <limits>

#include "gtest/gtest.h"

namespace pixpool::bench {
namespace {

constexpr int64_t kMs = 1000 * 1000;
constexpr int64_t kSecond = 1000 * kMs;
constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

Ticket Sent(int64_t intended_ns) {
  Ticket ticket;
  ticket.intended_ns = intended_ns;
  ticket.sent_ns = intended_ns + kMs;
  ticket.attempts = 1;
  return ticket;
}

Answer Images(int ok, int failed = 0) {
  Answer answer;
  answer.images_ok = ok;
  for (int i = 0; i < failed; ++i) answer.failed_images.push_back(absl::NotFoundError("x"));
  return answer;
}

TEST(RecorderTest, CountsFromTheIntendedTimeAndLeavesTheWarmUpOut) {
  Recorder recorder({}, 2, 10 * kSecond, 20 * kSecond);
  recorder.Add(Sent(9 * kSecond), absl::OkStatus(), Images(2), 9 * kSecond + kMs);
  // Of the warm-up, answered later: throughput, but no latency.
  recorder.Add(Sent(9 * kSecond), absl::OkStatus(), Images(2), 11 * kSecond);
  recorder.Add(Sent(12 * kSecond), absl::OkStatus(), Images(2), 12 * kSecond + 50 * kMs);
  // Answered after the end: latency, but no throughput.
  recorder.Add(Sent(19 * kSecond), absl::OkStatus(), Images(2), 22 * kSecond);
  const Result result = recorder.Snapshot();
  EXPECT_EQ(result.latency.count(), 2u);
  EXPECT_EQ(result.latency.min(), 50 * kMs);
  EXPECT_EQ(result.latency.max(), 3 * kSecond);
  EXPECT_EQ(result.send_lag.max(), kMs);
  EXPECT_EQ(result.window_images, 4u);
  EXPECT_DOUBLE_EQ(result.images_per_second(), 0.4);
  EXPECT_EQ(result.images_ok, 4u);
  EXPECT_EQ(result.totals.requests, 4u);
  EXPECT_EQ(result.totals.images_ok, 8u);
}

TEST(RecorderTest, FailuresAreCountedByCodeAndReasonAndNotAsLatency) {
  Recorder recorder({}, 2, 0, kForever);
  recorder.Add(Sent(0), absl::UnavailableError("full"), {}, kMs);
  recorder.Add(Sent(0), absl::UnavailableError("full again"), {}, 3 * kMs);
  recorder.Add(Sent(0), absl::OkStatus(), Images(1, 1), kMs);
  recorder.Add(Sent(0), absl::OkStatus(), Images(0), kMs);  // says nothing at all
  recorder.AddUnsent(Sent(0));
  const Result result = recorder.Snapshot();
  EXPECT_EQ(result.requests_failed, 5u);
  EXPECT_EQ(result.unsent, 1u);
  EXPECT_EQ(result.latency.count(), 0u);
  EXPECT_EQ(result.images_ok, 1u);
  EXPECT_EQ(result.images_failed, 9u);
  ASSERT_EQ(result.failures.size(), 4u);
  const FailureCount& full = result.failures.at({false, "UNAVAILABLE", ""});
  EXPECT_EQ(full.count, 2u);
  EXPECT_EQ(full.example, "full");
  EXPECT_EQ(full.latency.min(), kMs);
  EXPECT_EQ(full.latency.max(), 3 * kMs);
  EXPECT_EQ(result.failures.at({true, "NOT_FOUND", ""}).latency.count(), 1u);
  EXPECT_EQ(result.failures.at({true, "NOT_FOUND", ""}).count, 1u);
  EXPECT_EQ(result.failures.at({false, "CLIENT", "NOT_SENT"}).count, 1u);
  EXPECT_EQ(result.failures.at({false, "CLIENT", "NOT_SENT"}).latency.count(), 0u);
  EXPECT_EQ(result.totals.requests, 4u);  // what was not sent did not reach the server
}

TEST(RecorderTest, TimelineStaysBoundedAndKeepsAll) {
  Recorder recorder({}, 1, 0, kForever);
  constexpr int kRequests = 20000;
  for (int i = 0; i < kRequests; ++i) {
    const int64_t now = i * 50 * kMs;  // 1,000 s
    recorder.Add(Sent(now), absl::OkStatus(), Images(1), now + (i == 700 ? kSecond : kMs));
  }
  const Result result = recorder.Snapshot();
  EXPECT_LE(result.timeline.size(), Recorder::kMaxIntervals);
  EXPECT_GE(result.timeline.size(), Recorder::kMaxIntervals / 2);
  uint64_t requests = 0, images = 0;
  for (size_t i = 0; i < result.timeline.size(); ++i) {
    const Interval& part = result.timeline[i];
    requests += part.latency.count();
    images += part.images;
    const bool slow = i == static_cast<size_t>(35 / result.interval_s);  // request 700 is at 35 s
    EXPECT_EQ(part.latency.max(), slow ? kSecond : kMs) << i;
  }
  EXPECT_EQ(requests, static_cast<uint64_t>(kRequests));
  EXPECT_EQ(images, static_cast<uint64_t>(kRequests));
  EXPECT_NEAR(result.window_s, 1000, 1);
}

}  // namespace
}  // namespace pixpool::bench
