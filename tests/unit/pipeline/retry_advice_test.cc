#include "server/pipeline/retry_advice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <queue>
#include <vector>

namespace pixpool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimeDuration kUsual = milliseconds(200);
constexpr int kAnswered = 100;

// Callers who are always refused and come back when they are told to: refusals in the last second
// of `length`, and the last pause.
struct End {
  int refused = 0;
  TimeDuration shortest{};
  TimeDuration longest{};
};
End Callers(RetryAdvice& advice, int count, TimeDuration length) {
  std::priority_queue<TimePoint, std::vector<TimePoint>, std::greater<>> next;
  const TimePoint start = TimePoint() + std::chrono::hours(1);
  for (int i = 0; i < count; ++i) next.push(start + i * kUsual / count);
  End end;
  end.shortest = TimeDuration::max();
  while (next.top() < start + length) {
    const TimePoint now = next.top();
    next.pop();
    const TimeDuration pause = advice.Refused(now, kAnswered);
    next.push(now + pause);
    if (now < start + length - seconds(1)) continue;
    ++end.refused;
    end.shortest = std::min(end.shortest, pause);
    end.longest = std::max(end.longest, pause);
  }
  return end;
}

TEST(RetryAdviceTest, AFewAreToldTheUsualPause) {
  RetryAdvice advice(kUsual);
  const End end = Callers(advice, 30, seconds(20));
  EXPECT_GE(end.shortest, 0.8 * kUsual);
  EXPECT_LE(end.longest, 1.2 * kUsual);
}

TEST(RetryAdviceTest, ThoseRefusedTogetherComeBackOneByOne) {
  RetryAdvice advice(kUsual);
  std::vector<TimeDuration> pauses;
  for (int i = 0; i < 20; ++i) {
    pauses.push_back(advice.Refused(TimePoint() + std::chrono::hours(1), kAnswered));
  }
  std::sort(pauses.begin(), pauses.end());
  TimeDuration gap{};
  for (size_t i = 1; i < pauses.size(); ++i) gap = std::max(gap, pauses[i] - pauses[i - 1]);
  EXPECT_LT(gap, 0.05 * kUsual) << "they fill the time evenly";
  EXPECT_LT(pauses.front(), 0.85 * kUsual);
  EXPECT_GT(pauses.back(), 1.15 * kUsual);
}

TEST(RetryAdviceTest, ManyAreToldToComeLessOften) {
  RetryAdvice advice(kUsual);
  const End end = Callers(advice, 300, seconds(40));
  EXPECT_NEAR(end.refused, 2 * kAnswered, 0.2 * 2 * kAnswered);
  EXPECT_GT(end.shortest, seconds(1));
  EXPECT_GT(end.longest, 1.4 * end.shortest) << "they do not come together";
}

TEST(RetryAdviceTest, NobodyIsSentAwayForLong) {
  RetryAdvice advice(kUsual);
  const End end = Callers(advice, 100'000, seconds(20));
  EXPECT_LE(end.longest, 1.2 * RetryAdvice::kMost * kUsual);
  EXPECT_GE(end.longest, RetryAdvice::kMost * kUsual);
}

TEST(RetryAdviceTest, AfterAQuietSecondThePauseIsTheUsual) {
  RetryAdvice advice(kUsual);
  Callers(advice, 1000, seconds(10));
  const TimePoint later = TimePoint() + std::chrono::hours(1) + seconds(30);
  const TimeDuration pause = advice.Refused(later, kAnswered);
  EXPECT_GE(pause, 0.8 * kUsual);
  EXPECT_LE(pause, 1.2 * kUsual);
}

TEST(RetryAdviceTest, NoneMeansNone) {
  RetryAdvice advice(TimeDuration::zero());
  EXPECT_EQ(Callers(advice, 1, TimeDuration::zero()).refused, 0);
  EXPECT_EQ(advice.Refused(TimePoint() + std::chrono::hours(1), 0), TimeDuration::zero());
}

}  // namespace
}  // namespace pixpool
