#include "server/batching/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <thread>

#include "absl/synchronization/mutex.h"

namespace pixpool {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

// A task that can only be moved, as pictures are. Negative ones are to be dropped.
using Task = std::unique_ptr<int>;
using Batch = std::vector<int>;

class BatcherTest : public testing::Test {
 protected:
  std::unique_ptr<Batcher<Task>> Make(int max_batch_size) {
    return std::make_unique<Batcher<Task>>(
        BatcherOptions{max_batch_size, milliseconds(5)}, &clock_,
        [this](Task& task) { return drop_ ? drop_(*task) : *task < 0; });
  }
  static void Submit(Batcher<Task>& batcher, size_t group, std::initializer_list<int> values) {
    for (const int value : values) {
      auto task = std::make_unique<int>(value);
      ASSERT_TRUE(batcher.Submit(group, task));
      ASSERT_EQ(task, nullptr) << "ownership moves with true";
    }
  }
  static Batch Next(Batcher<Task>& batcher) {
    Batch values;
    auto batch = batcher.Next();
    if (!batch) return values;
    EXPECT_FALSE(batch->empty());
    for (const Task& task : *batch) values.push_back(*task);
    return values;
  }

  FakeClock clock_;
  std::function<bool(int)> drop_;
};

TEST_F(BatcherTest, ASingleTaskGoesAtOnce) {
  const auto batcher = Make(8);
  Submit(*batcher, 224, {1});
  EXPECT_THAT(Next(*batcher), ElementsAre(1)) << "no waiting for a full batch";
}

TEST_F(BatcherTest, BatchesAreFullAndInOrderOfArrival) {
  const auto batcher = Make(3);
  Submit(*batcher, 224, {1, 2, 3, 4, 5});
  EXPECT_EQ(batcher->depth(), 5);
  EXPECT_THAT(Next(*batcher), ElementsAre(1, 2, 3));
  EXPECT_THAT(Next(*batcher), ElementsAre(4, 5));
  EXPECT_EQ(batcher->depth(), 0);
}

TEST_F(BatcherTest, GroupsNeverMixAndTheFullestGoesFirst) {
  const auto batcher = Make(4);
  Submit(*batcher, 224, {1});
  Submit(*batcher, 448, {2, 3});
  Submit(*batcher, 224, {4});
  Submit(*batcher, 448, {5});
  EXPECT_THAT(Next(*batcher), ElementsAre(2, 3, 5));
  EXPECT_THAT(Next(*batcher), ElementsAre(1, 4));
}

TEST_F(BatcherTest, TiesGoToTheOldest) {
  const auto batcher = Make(2);
  Submit(*batcher, 448, {1, 2});
  Submit(*batcher, 224, {3, 4, 5});
  EXPECT_THAT(Next(*batcher), ElementsAre(1, 2)) << "both fill a batch; 448 came first";
  EXPECT_THAT(Next(*batcher), ElementsAre(3, 4));
}

TEST_F(BatcherTest, ATaskIsPassedOverForNoLongerThanMaxDelay) {
  const auto batcher = Make(4);
  Submit(*batcher, 448, {1});
  clock_.Advance(milliseconds(5) - std::chrono::nanoseconds(1));
  Submit(*batcher, 224, {2, 3, 4, 5, 6, 7, 8});
  EXPECT_THAT(Next(*batcher), ElementsAre(2, 3, 4, 5)) << "not yet overdue";
  clock_.Advance(std::chrono::nanoseconds(1));
  EXPECT_THAT(Next(*batcher), ElementsAre(1)) << "overdue, so before the fuller one";
  EXPECT_THAT(Next(*batcher), ElementsAre(6, 7, 8));
}

TEST_F(BatcherTest, OfSeveralOverdueGroupsTheOldestGoesFirst) {
  const auto batcher = Make(4);
  Submit(*batcher, 300, {1});
  clock_.Advance(milliseconds(1));
  Submit(*batcher, 200, {2, 3});
  clock_.Advance(milliseconds(10));
  EXPECT_THAT(Next(*batcher), ElementsAre(1));
  EXPECT_THAT(Next(*batcher), ElementsAre(2, 3));
}

TEST_F(BatcherTest, DroppedTasksReachNoBatchAndTheirPlacesAreFilled) {
  const auto batcher = Make(3);
  Submit(*batcher, 224, {-1, 2, -3, -4, 5, 6, 7});
  EXPECT_THAT(Next(*batcher), ElementsAre(2, 5, 6));
  EXPECT_THAT(Next(*batcher), ElementsAre(7));
}

TEST_F(BatcherTest, AGroupThatIsDroppedAsAWholeGivesNoEmptyBatch) {
  const auto batcher = Make(2);
  Submit(*batcher, 448, {-1, -2, -3, -4, -5});
  Submit(*batcher, 224, {6});
  EXPECT_THAT(Next(*batcher), ElementsAre(6));
  batcher->Close();
  EXPECT_FALSE(batcher->Next().has_value());
}

TEST_F(BatcherTest, DropSeesEachTaskOnceAndWithoutTheLock) {
  const auto batcher = Make(4);
  std::multiset<int> seen;
  drop_ = [&](int value) {
    seen.insert(value);
    EXPECT_GE(batcher->depth(), 0) << "would deadlock under the lock";
    return value % 2 == 0;
  };
  Submit(*batcher, 224, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(Next(*batcher), ElementsAre(1, 3, 5));
  EXPECT_THAT(seen, ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(BatcherTest, CloseRefusesNewTasksAndHandsOutTheRest) {
  const auto batcher = Make(2);
  Submit(*batcher, 224, {1, 2, 3});
  batcher->Close();
  auto late = std::make_unique<int>(4);
  EXPECT_FALSE(batcher->Submit(224, late));
  ASSERT_NE(late, nullptr) << "left as it was";
  EXPECT_EQ(*late, 4);
  EXPECT_THAT(Next(*batcher), ElementsAre(1, 2));
  EXPECT_THAT(Next(*batcher), ElementsAre(3));
  EXPECT_FALSE(batcher->Next().has_value());
  EXPECT_FALSE(batcher->Next().has_value()) << "for ever";
}

TEST_F(BatcherTest, CloseWakesWaitingThreads) {
  const auto batcher = Make(2);
  std::vector<std::thread> threads;
  std::atomic<int> ended{0};
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      if (!batcher->Next()) ended.fetch_add(1);
    });
  }
  batcher->Close();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended.load(), 3);
}

TEST_F(BatcherTest, ASubmittedTaskWakesAWaitingThread) {
  const auto batcher = Make(2);
  Batch got;
  std::thread instance([&] { got = Next(*batcher); });
  Submit(*batcher, 224, {1});
  instance.join();
  EXPECT_THAT(got, ElementsAre(1));
}

TEST(FairShareTest, LeavesAsMuchForEachIdleInstance) {
  EXPECT_EQ(FairShare(1, 4, 8), 1u);
  EXPECT_EQ(FairShare(6, 2, 8), 3u);
  EXPECT_EQ(FairShare(7, 2, 8), 4u) << "rounded up";
  EXPECT_EQ(FairShare(6, 1, 8), 6u) << "the only idle one takes all";
  EXPECT_EQ(FairShare(100, 2, 8), 8u) << "no more than a batch";
}

TEST_F(BatcherTest, EachIdleInstanceGetsItsShare) {
  const auto batcher = Make(8);
  std::array<Batch, 2> batches;
  std::vector<std::thread> instances;
  for (Batch& batch : batches) instances.emplace_back([&] { batch = Next(*batcher); });
  while (batcher->idle() < 2) std::this_thread::yield();
  Submit(*batcher, 224, {1, 2, 3, 4, 5, 6});
  for (std::thread& thread : instances) thread.join();
  EXPECT_THAT(batches[0], testing::Not(IsEmpty()));
  EXPECT_THAT(batches[1], testing::Not(IsEmpty()));
  EXPECT_EQ(batcher->idle(), 0);
}

// Many producers and instances: every task comes out once, in a batch of its own group and within
// the bound.
TEST_F(BatcherTest, NothingIsLostOrDoubledUnderLoad) {
  constexpr int kProducers = 4;
  constexpr int kPerProducer = 2'000;
  Batcher<std::pair<size_t, int>> batcher({4, milliseconds(5)}, Clock::Real(),
                                          [](std::pair<size_t, int>&) { return false; });
  absl::Mutex mu;
  std::multiset<int> seen;
  std::vector<std::thread> instances;
  for (int i = 0; i < 3; ++i) {
    instances.emplace_back([&] {
      while (auto batch = batcher.Next()) {
        absl::MutexLock lock(&mu);
        EXPECT_LE(batch->size(), 4u);
        for (const auto& [group, value] : *batch) {
          EXPECT_EQ(group, batch->front().first);
          seen.insert(value);
        }
      }
    });
  }
  std::vector<std::thread> producers;
  for (int p = 0; p < kProducers; ++p) {
    producers.emplace_back([&batcher, p] {
      for (int i = 0; i < kPerProducer; ++i) {
        std::pair<size_t, int> task(static_cast<size_t>(i % 3), p * kPerProducer + i);
        ASSERT_TRUE(batcher.Submit(task.first, task));
      }
    });
  }
  for (std::thread& thread : producers) thread.join();
  batcher.Close();
  for (std::thread& thread : instances) thread.join();
  ASSERT_EQ(seen.size(), static_cast<size_t>(kProducers * kPerProducer));
  EXPECT_EQ(std::set<int>(seen.begin(), seen.end()).size(), seen.size());
}

}  // namespace
}  // namespace pixpool
