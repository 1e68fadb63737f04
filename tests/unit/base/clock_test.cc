#include "server/base/clock.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

TEST(ClockTest, FakeClockMovesOnlyWhenTold) {
  FakeClock clock;
  const TimePoint start = clock.Now();
  EXPECT_EQ(clock.Now(), start);
  clock.Advance(std::chrono::milliseconds(7));
  EXPECT_EQ(clock.Now() - start, std::chrono::milliseconds(7));
}

TEST(ClockTest, RealClockIsOneAndNeverGoesBack) {
  EXPECT_EQ(Clock::Real(), Clock::Real());
  const TimePoint before = std::chrono::steady_clock::now();
  const TimePoint now = Clock::Real()->Now();
  EXPECT_GE(now, before);
  EXPECT_LE(now, std::chrono::steady_clock::now());
}

TEST(ClockTest, ToSecondsKeepsFractions) {
  EXPECT_DOUBLE_EQ(ToSeconds(std::chrono::milliseconds(1500)), 1.5);
  EXPECT_DOUBLE_EQ(ToSeconds(std::chrono::nanoseconds(1)), 1e-9);
}

}  // namespace
}  // namespace pixpool
