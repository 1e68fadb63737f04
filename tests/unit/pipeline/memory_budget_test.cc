#include "server/pipeline/memory_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pixpool {
namespace {

// Passes by name, what runs and in which order it began.
class MemoryBudgetTest : public testing::Test {
 protected:
  // What ends lets others begin, so one after the other.
  ~MemoryBudgetTest() override {
    while (!running_.empty()) End(std::string(running_.begin()->first));
  }

  void Reserve(const std::string& name, int64_t bytes) {
    budget_.Reserve({.bytes = bytes,
                     .over = [this, name] { return over_ == name; },
                     .run =
                         [this, name](MemoryLease lease) {
                           begun_.push_back(name);
                           running_[name] = std::move(lease);
                         }});
  }
  void End(const std::string& name) {
    const MemoryLease lease = std::move(running_.at(name));
    running_.erase(name);
  }
  std::vector<std::string> Begun() { return std::exchange(begun_, {}); }

  // A model that keeps this much.
  void Keep(int64_t bytes) {
    held_ = bytes;
    budget_.AddKeeper({.held = [this] { return held_; },
                       .drop =
                           [this](int64_t most) {
                             asked_.push_back(most);
                             held_ = std::max(in_use_, std::min(held_, most));
                           }});
  }

  std::vector<std::string> begun_;
  std::string over_;
  int64_t held_ = 0;
  int64_t in_use_ = 0;
  std::vector<int64_t> asked_;
  MemoryBudget budget_;
  std::map<std::string, MemoryLease> running_;
};

using Names = std::vector<std::string>;

TEST_F(MemoryBudgetTest, WithoutACapacityEverythingRuns) {
  Reserve("a", int64_t{1} << 60);
  Reserve("b", int64_t{1} << 60);
  EXPECT_EQ(Begun(), (Names{"a", "b"}));
}

TEST_F(MemoryBudgetTest, NoMoreRunsThanFits) {
  budget_.SetCapacity(100);
  Reserve("a", 60);
  Reserve("b", 40);
  Reserve("c", 1);
  EXPECT_EQ(Begun(), (Names{"a", "b"}));
  EXPECT_EQ(budget_.usage().leased, 100);
  EXPECT_EQ(budget_.usage().waiting, 1);
  End("b");
  EXPECT_EQ(Begun(), (Names{"c"}));
  End("a");
  End("c");
  EXPECT_EQ(budget_.usage().leased, 0);
  EXPECT_EQ(budget_.usage().waiting, 0);
}

TEST_F(MemoryBudgetTest, WhatCostsNothingNeverWaits) {
  budget_.SetCapacity(100);
  Reserve("large", 100);
  Reserve("larger", 100);
  Reserve("usual", 0);
  EXPECT_EQ(Begun(), (Names{"large", "usual"}));
}

TEST_F(MemoryBudgetTest, SmallOnesGoOnWhileALargeOneWaits) {
  budget_.SetCapacity(100);
  Reserve("a", 50);
  Reserve("large", 80);
  Reserve("small", 20);
  EXPECT_EQ(Begun(), (Names{"a", "small"}));
  End("a");
  EXPECT_EQ(Begun(), (Names{"large"})) << "beside the small one";
}

TEST_F(MemoryBudgetTest, ALargeOneDoesNotStarve) {
  budget_.SetCapacity(100);
  Reserve("0", 50);
  Reserve("large", 80);
  // One small one is there at any time, so that the large one never fits by itself.
  int passes = 0;
  while (budget_.usage().waiting == 1 && passes < 1000) {
    Reserve(std::to_string(passes + 1), 50);
    if (!running_.contains(std::to_string(passes + 1))) break;
    End(std::to_string(passes));
    ++passes;
  }
  EXPECT_EQ(passes, MemoryBudget::kMostOvertakes);
  Begun();
  End(std::to_string(passes));
  EXPECT_EQ(Begun(), (Names{"large"})) << "and the small one behind it waits";
  End("large");
  EXPECT_EQ(Begun().size(), 1);
}

TEST_F(MemoryBudgetTest, MoreThanTheCapacityRunsAlone) {
  budget_.SetCapacity(100);
  Reserve("a", 10);
  Reserve("huge", 500);
  EXPECT_EQ(Begun(), (Names{"a"}));
  End("a");
  EXPECT_EQ(Begun(), (Names{"huge"}));
  Reserve("b", 10);
  EXPECT_EQ(Begun(), (Names{}));
  End("huge");
  EXPECT_EQ(Begun(), (Names{"b"}));
}

TEST_F(MemoryBudgetTest, WhatModelsKeepIsGivenUpAsFarAsAPassNeedsIt) {
  budget_.SetCapacity(100);
  Keep(60);
  Reserve("a", 40);
  EXPECT_TRUE(asked_.empty());
  End("a");
  Reserve("b", 70);
  EXPECT_EQ(asked_, (std::vector<int64_t>{30}));
  EXPECT_EQ(Begun(), (Names{"a", "b"}));
  EXPECT_EQ(budget_.usage().held, 30);
}

TEST_F(MemoryBudgetTest, NothingIsGivenUpWhereItWouldNotHelp) {
  budget_.SetCapacity(100);
  Keep(10);
  Reserve("a", 80);
  Reserve("b", 80);
  EXPECT_TRUE(asked_.empty());
}

TEST_F(MemoryBudgetTest, WhatIsInUseCannotBeGivenUpAndIsWaitedFor) {
  budget_.SetCapacity(100);
  Keep(60);
  Reserve("a", 20);
  in_use_ = 60;
  Reserve("b", 70);
  EXPECT_EQ(Begun(), (Names{"a"}));
  in_use_ = 0;
  End("a");
  EXPECT_EQ(Begun(), (Names{"b"}));
}

// Nothing runs that could free it: it must not wait for ever.
TEST_F(MemoryBudgetTest, WhatIsKeptInSpiteOfAllKeepsNobodyWaiting) {
  budget_.SetCapacity(100);
  Keep(60);
  in_use_ = 60;
  Reserve("a", 70);
  EXPECT_EQ(Begun(), (Names{"a"}));
}

TEST_F(MemoryBudgetTest, APassThatIsOverLeavesWithoutMemory) {
  budget_.SetCapacity(100);
  Reserve("a", 80);
  Reserve("over", 80);
  Reserve("b", 80);
  over_ = "over";
  Reserve("c", 10);
  EXPECT_EQ(Begun(), (Names{"a", "over", "c"}));
  EXPECT_EQ(running_.at("over").bytes(), 0);
  EXPECT_EQ(budget_.usage().leased, 90);
}

TEST_F(MemoryBudgetTest, AKeeperThatIsRemovedCountsNoMore) {
  const int keeper =
      budget_.AddKeeper({.held = [] { return int64_t{50}; }, .drop = [](int64_t) {}});
  EXPECT_EQ(budget_.usage().held, 50);
  budget_.RemoveKeeper(keeper);
  EXPECT_EQ(budget_.usage().held, 0);
}

TEST_F(MemoryBudgetTest, ThreadsNeverHoldMoreThanThereIs) {
  budget_.SetCapacity(100);
  std::atomic<int64_t> used = 0;
  std::atomic<int> runs = 0;
  std::atomic<bool> over = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const int64_t bytes = 1 + (i * 7 + t * 13) % 60;
        budget_.Reserve({.bytes = bytes,
                         .over = [] { return false; },
                         .run =
                             [&, bytes](MemoryLease lease) {
                               if (used.fetch_add(bytes) + bytes > 100) over = true;
                               std::this_thread::yield();
                               used.fetch_sub(bytes);
                               lease.Release();
                               ++runs;
                             }});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(over);
  EXPECT_EQ(runs, 2000);
  EXPECT_EQ(budget_.usage().leased, 0);
}

}  // namespace
}  // namespace pixpool
