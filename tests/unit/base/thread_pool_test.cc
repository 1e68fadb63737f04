#include "server/base/thread_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <memory>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/notification.h"

namespace pixpool {
namespace {

TEST(ThreadPoolTest, OneThreadRunsInOrderOfArrival) {
  std::vector<int> seen;
  {
    ThreadPool pool("order", 1);
    for (int i = 0; i < 100; ++i) pool.Schedule([&seen, i] { seen.push_back(i); });
  }
  ASSERT_EQ(seen.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], i);
}

TEST(ThreadPoolTest, ThreadsRunAtTheSameTime) {
  constexpr int kThreads = 4;
  std::atomic<int> through{0};
  {
    ThreadPool pool("both", kThreads);
    EXPECT_EQ(pool.thread_count(), kThreads);
    // Nobody gets past the barrier before all are there.
    auto* barrier = new absl::Barrier(kThreads);
    for (int i = 0; i < kThreads; ++i) {
      pool.Schedule([&through, barrier] {
        if (barrier->Block()) delete barrier;
        through.fetch_add(1);
      });
    }
  }
  EXPECT_EQ(through.load(), kThreads);
}

TEST(ThreadPoolTest, QueueDepthCountsWhatWaits) {
  absl::Notification started;
  absl::Notification go_on;
  ThreadPool pool("depth", 1);
  pool.Schedule([&] {
    started.Notify();
    go_on.WaitForNotification();
  });
  started.WaitForNotification();
  EXPECT_EQ(pool.queue_depth(), 0);
  pool.Schedule([] {});
  pool.Schedule([] {});
  EXPECT_EQ(pool.queue_depth(), 2);
  go_on.Notify();
}

TEST(ThreadPoolTest, TheDestructorRunsWhatWasScheduled) {
  std::atomic<int> ran{0};
  absl::Notification go_on;
  {
    ThreadPool pool("drain", 2);
    pool.Schedule([&] { go_on.WaitForNotification(); });
    for (int i = 0; i < 50; ++i) pool.Schedule([&] { ran.fetch_add(1); });
    pool.Schedule([&] { ran.fetch_add(1); });
    go_on.Notify();
  }
  EXPECT_EQ(ran.load(), 51);
}

TEST(ThreadPoolTest, TakesClosuresThatOnlyMove) {
  int got = 0;
  {
    ThreadPool pool("move", 0);  // at least one thread all the same
    EXPECT_EQ(pool.thread_count(), 1);
    pool.Schedule([&got, value = std::make_unique<int>(7)] { got = *value; });
  }
  EXPECT_EQ(got, 7);
}

TEST(ThreadPoolTest, ThreadsBearTheNameCutToWhatTheKernelTakes) {
  char name[32] = "";
  {
    ThreadPool pool("a-name-that-is-too-long", 1);
    pool.Schedule([&] { pthread_getname_np(pthread_self(), name, sizeof(name)); });
  }
  EXPECT_STREQ(name, "a-name-that-is-");
}

}  // namespace
}  // namespace pixpool
