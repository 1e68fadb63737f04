#include "server/rpc/call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/error.h"

namespace pixpool {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;
using WallTime = std::chrono::system_clock::time_point;

constexpr CallOptions kOptions{.default_deadline = seconds(7), .max_deadline = seconds(60)};

TEST(CallDeadlineTest, OwnDeadlineCutToTheMaximumElseTheDefault) {
  const TimePoint now = FakeClock().Now();
  const WallTime wall = WallTime(std::chrono::hours(500'000));
  EXPECT_EQ(CallDeadline(WallTime::max(), wall, now, kOptions), now + seconds(7));
  EXPECT_EQ(CallDeadline(wall + seconds(9), wall, now, kOptions), now + seconds(9));
  EXPECT_EQ(CallDeadline(wall + seconds(61), wall, now, kOptions), now + seconds(60));
  EXPECT_EQ(CallDeadline(wall - seconds(1), wall, now, kOptions), now - seconds(1));
}

TEST(CallDeadlineTest, NoneIsNoneAndWhatTheClockDoesNotReachIsCutToTheMaximum) {
  const TimePoint now = FakeClock().Now();
  const WallTime wall = WallTime(std::chrono::hours(500'000));
  const auto deadline_after = [&](int64_t hours) {
    const gpr_timespec raw{(500'000 + hours) * 3600, 5, GPR_CLOCK_REALTIME};
    return CallDeadline(WallDeadline(raw), wall, now, kOptions);
  };
  EXPECT_EQ(WallDeadline(gpr_inf_future(GPR_CLOCK_REALTIME)), WallTime::max());
  EXPECT_EQ(WallDeadline({1'800'000'000, 5, GPR_CLOCK_REALTIME}),
            WallTime(seconds(1'800'000'000)) + std::chrono::nanoseconds(5));
  // As gRPC has it in a call: by another clock.
  const gpr_timespec soon = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), {20, 0, GPR_TIMESPAN});
  const auto left = WallDeadline(soon) - std::chrono::system_clock::now();
  EXPECT_GT(left, seconds(15));
  EXPECT_LT(left, seconds(25));
  // The type ends in the year 2262; gRPC takes eight digits of hours.
  for (const int64_t hours : {1, 2'000'000, 2'062'000, 2'063'000, 3'000'000, 99'999'999}) {
    EXPECT_EQ(deadline_after(hours), now + seconds(60)) << hours;
  }
}

TEST(CallRecordTest, CountsUnderTheStatusThatWasSent) {
  FakeClock clock;
  Metrics metrics;
  CallRecord record(RpcMethod::kGetModel, {.peer = "ipv4:127.0.0.1:1"},
                    {.metrics = &metrics, .clock = &clock});
  clock.Advance(seconds(3));
  record.End(MakeError(ErrorReason::kModelNotFound, "nope"));
  const std::string text = metrics.Scrape();
  EXPECT_THAT(text,
              HasSubstr("pixpool_requests_total{code=\"NOT_FOUND\",method=\"GetModel\",model=\"\","
                        "version=\"\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("pixpool_request_duration_seconds_sum{method=\"GetModel\",model=\"\","
                              "version=\"\"} 3\n"));
}

TEST(CallRecordTest, CountsUnderItsModelWhichMayBeGoneByThen) {
  FakeClock clock;
  Metrics metrics;
  auto model = metrics.OfModel("net", "7");
  {
    CallRecord record(RpcMethod::kExtractFeatures, {}, {.metrics = &metrics, .clock = &clock});
    record.SetModel(model);
    model.reset();
    record.End(absl::OkStatus());
    EXPECT_THAT(metrics.Scrape(),
                HasSubstr("pixpool_requests_total{code=\"OK\",method=\"ExtractFeatures\","
                          "model=\"net\",version=\"7\"} 1\n"));
  }
  EXPECT_THAT(metrics.Scrape(), Not(HasSubstr("model=\"net\"")));
}

TEST(LogSampleTest, FailedCallsAndOfTheOthersEachNth) {
  const FailureKind kind = {.caller = "a", .code = "NOT_FOUND", .reason = "MODEL_NOT_FOUND"};
  const auto taken = [&](const char* which, bool failed) {
    LogSample sample(which);
    std::string calls;
    for (int i = 0; i < 7; ++i) {
      calls +=
          (failed ? sample.TakesFailed(kind, LogLevel::kInfo) : sample.TakesGood()) ? 'x' : '.';
    }
    return calls;
  };
  EXPECT_EQ(taken("all", false), "xxxxxxx");
  EXPECT_EQ(taken("failed", false), ".......");
  EXPECT_EQ(taken("1/3", false), "x..x..x");
  for (const char* which : {"all", "failed", "1/3"}) EXPECT_EQ(taken(which, true), "xxxxxxx");
  LogSample sample("1/2");
  EXPECT_TRUE(sample.TakesGood());
  EXPECT_TRUE(sample.TakesFailed(kind, LogLevel::kInfo));
  EXPECT_FALSE(sample.TakesGood()) << "those that failed are not counted";
}

}  // namespace
}  // namespace pixpool
