#include "client/cpp/timer.h"

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "tests/unit/client/fakes.h"

namespace pixpool::client {
namespace {

TEST(TimerTest, RealTimerRunsFunctionsNotBeforeTheirTime) {
  Timer* const timer = Timer::Real();
  EXPECT_EQ(timer, Timer::Real());
  const absl::Time start = timer->Now();
  absl::Notification done;
  timer->After(absl::Milliseconds(5), [&] { done.Notify(); });
  done.WaitForNotification();
  EXPECT_GE(timer->Now() - start, absl::Milliseconds(4));  // clocks of two libraries, rounded
}

TEST(TimerTest, SleepEndsWithItsDelay) {
  FakeTimer timer;
  const absl::Time start = timer.Now();
  timer.Sleep(absl::Hours(5));
  EXPECT_EQ(timer.Now() - start, absl::Hours(5));
}

}  // namespace
}  // namespace pixpool::client
