#include "client/bench/schedule.h"

#include <cmath>

#include "gtest/gtest.h"

namespace pixpool::bench {
namespace {

TEST(ScheduleTest, ConstantGapsDoNotDrift) {
  Schedule schedule(Arrivals::kConstant, 3, 1);
  int64_t last = 0;
  for (int i = 0; i < 3000001; ++i) last = schedule.Next();
  EXPECT_NEAR(static_cast<double>(last), 1e15, 1e3);  // a million seconds, to a microsecond
}

TEST(ScheduleTest, PoissonGapsHaveTheRateAndTheSpreadOfIndependentCallers) {
  Schedule schedule(Arrivals::kPoisson, 50, 1);
  EXPECT_EQ(schedule.Next(), 0);
  double last = 0, sum = 0, squares = 0;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double now = static_cast<double>(schedule.Next()) / 1e9;
    ASSERT_GE(now, last);
    sum += now - last;
    squares += (now - last) * (now - last);
    last = now;
  }
  const double mean = sum / kCount;
  EXPECT_NEAR(mean, 0.02, 0.0003);
  // An exponential distribution's deviation is its mean; that of a clock is 0.
  EXPECT_NEAR(std::sqrt(squares / kCount - mean * mean), 0.02, 0.0005);
}

TEST(ScheduleTest, SeedsDecide) {
  Schedule a(Arrivals::kPoisson, 10, 3), b(Arrivals::kPoisson, 10, 3), c(Arrivals::kPoisson, 10, 4);
  a.Next(), b.Next(), c.Next();
  const int64_t second = a.Next();
  EXPECT_EQ(second, b.Next());
  EXPECT_NE(second, c.Next());
}

}  // namespace
}  // namespace pixpool::bench
