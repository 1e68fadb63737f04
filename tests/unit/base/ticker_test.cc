#include "server/base/ticker.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"

namespace pixpool {
namespace {

TEST(TickerTest, TicksAtOnceAndAgain) {
  absl::BlockingCounter ticks(3);
  std::atomic<int> left = 3;
  const Ticker ticker("tick", std::chrono::milliseconds(1), [&] {
    if (left.fetch_sub(1) > 0) ticks.DecrementCount();
  });
  ticks.Wait();
}

TEST(TickerTest, ALongPauseEndsWithTheTicker) {
  absl::Notification ticked;
  std::atomic<int> ticks = 0;
  {
    const Ticker ticker("tick", std::chrono::hours(24 * 365), [&] {
      if (ticks.fetch_add(1) == 0) ticked.Notify();
    });
    ticked.WaitForNotification();
  }
  EXPECT_EQ(ticks, 1);
}

}  // namespace
}  // namespace pixpool
