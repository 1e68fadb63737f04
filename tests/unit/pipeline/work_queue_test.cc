#include "server/pipeline/work_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace pixpool {
namespace {

using testing::ElementsAre;

class WorkQueueTest : public testing::Test {
 protected:
  void Push(const std::string& name, const std::string& caller = "",
            Priority priority = Priority::kInteractive, int window = 0,
            const void* lane = nullptr) {
    queue_.Push({.lane = lane,
                 .window = window,
                 .priority = priority,
                 .caller = caller,
                 .work = [this, name](WorkQueue::Turn turn) {
                   done_.push_back(name);
                   turn_ = std::move(turn);
                 }});
  }
  // The names of what has its turn, of as many as wait.
  std::vector<std::string> All() {
    while (queue_.depth() > 0) {
      auto ready = queue_.Next();
      std::move(ready->work)(std::move(ready->turn));
    }
    return std::exchange(done_, {});
  }
  std::string One() {
    auto ready = queue_.Next();
    std::move(ready->work)(std::move(ready->turn));
    return done_.back();
  }

  bool newest_first_ = false;
  WorkQueue queue_{[this](int) { return newest_first_; }};
  std::vector<std::string> done_;
  WorkQueue::Turn turn_;
};

TEST_F(WorkQueueTest, OneCallersWorkIsInOrderOfArrival) {
  for (const char* name : {"a", "b", "c"}) Push(name);
  EXPECT_THAT(All(), ElementsAre("a", "b", "c"));
}

TEST_F(WorkQueueTest, UnderABacklogTheNewestGoesFirst) {
  for (const char* name : {"a", "b", "c"}) Push(name);
  newest_first_ = true;
  EXPECT_THAT(All(), ElementsAre("c", "b", "a"));
  for (const char* name : {"a", "b", "c"}) Push(name, "", Priority::kBulk);
  EXPECT_THAT(All(), ElementsAre("a", "b", "c")) << "bulk work keeps its order";
}

TEST_F(WorkQueueTest, CallersTakeTurns) {
  for (const char* name : {"a1", "a2", "a3", "a4"}) Push(name, "a");
  Push("b1", "b");
  for (const char* name : {"c1", "c2"}) Push(name, "c");
  EXPECT_THAT(All(), ElementsAre("a1", "b1", "c1", "a2", "c2", "a3", "a4"));
}

TEST_F(WorkQueueTest, InteractiveWorkGoesFirstAndBulkEverySixteenthTime) {
  for (int i = 0; i < 40; ++i) Push("i", "x");
  for (int i = 0; i < 3; ++i) Push("bulk", "y", Priority::kBulk);
  const std::vector<std::string> order = All();
  for (size_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(order[i] == "bulk", i == 15 || i == 31 || i == 42) << i;
  }
}

TEST_F(WorkQueueTest, AWindowBoundsWhatIsAhead) {
  for (const char* name : {"a", "b", "c"}) Push(name, "", Priority::kInteractive, 2);
  auto first = queue_.Next();
  auto second = queue_.Next();
  std::atomic<bool> third = false;
  std::thread waiter([&] {
    auto ready = queue_.Next();
    EXPECT_TRUE(third) << "a place was free only then";
  });
  third = true;
  first->turn.place.reset();
  waiter.join();
}

TEST_F(WorkQueueTest, BulkWorkTakesNoPlaceFromInteractiveWork) {
  Push("bulk1", "", Priority::kBulk, 1);
  auto bulk = queue_.Next();
  EXPECT_FALSE(bulk->turn.urgent);
  Push("bulk2", "", Priority::kBulk, 1);
  Push("i", "", Priority::kInteractive, 1);
  auto interactive = queue_.Next();
  EXPECT_TRUE(interactive->turn.urgent);
  EXPECT_EQ(queue_.depth(), 1);
}

TEST_F(WorkQueueTest, APieceWithASmallerWindowWaitsWhereOthersGo) {
  Push("heavy1", "a", Priority::kInteractive, 1);
  auto first = queue_.Next();
  Push("heavy2", "a", Priority::kInteractive, 1);
  EXPECT_FALSE(queue_.ready());
  Push("light", "b", Priority::kInteractive, 2);
  auto second = queue_.Next();
  EXPECT_FALSE(queue_.ready());
  first->turn.place.reset();
  EXPECT_FALSE(queue_.ready()) << "places are the lane's";
  second->turn.place.reset();
  EXPECT_TRUE(queue_.ready());
}

TEST_F(WorkQueueTest, AFullLaneDoesNotHoldUpAnother) {
  const int lanes[2] = {};
  Push("a1", "", Priority::kInteractive, 1, &lanes[0]);
  auto held = queue_.Next();
  Push("a2", "", Priority::kInteractive, 1, &lanes[0]);
  Push("b1", "", Priority::kInteractive, 1, &lanes[1]);
  EXPECT_EQ(One(), "b1");
}

TEST_F(WorkQueueTest, AfterCloseWhatIsLeftComesAndThenNothing) {
  for (const char* name : {"a", "b", "c"}) Push(name, "", Priority::kInteractive, 1);
  queue_.Close();
  EXPECT_THAT(All(), ElementsAre("a", "b", "c")) << "windows are for those that go on";
  EXPECT_FALSE(queue_.Next().has_value());
}

TEST_F(WorkQueueTest, ManyThreadsTakeEachPieceOnce) {
  std::atomic<int> taken = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      while (auto ready = queue_.Next()) std::move(ready->work)(std::move(ready->turn));
    });
  }
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([&, c] {
      for (int i = 0; i < 1000; ++i) {
        queue_.Push({.window = 2,
                     .priority = i % 2 == 0 ? Priority::kBulk : Priority::kInteractive,
                     .caller = std::to_string(c),
                     .work = [&](WorkQueue::Turn) { ++taken; }});
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  queue_.Close();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken, 3000);
}

class FairTurnsTest : public WorkQueueTest {
 protected:
  void PushOf(const std::string& name, const std::string& caller, double seconds,
              Priority priority = Priority::kInteractive, bool begun = false) {
    queue_.Push(EntryOf(name, caller, seconds, priority, begun));
  }
  // Of a crew of as many threads.
  void PushLong(const std::string& name, const std::string& caller, int threads) {
    WorkQueue::Entry entry = EntryOf(name, caller, 8, Priority::kInteractive, false);
    entry.crew = {&queue_, threads};
    queue_.Push(std::move(entry));
  }
  WorkQueue::Entry EntryOf(const std::string& name, const std::string& caller, double seconds,
                           Priority priority, bool begun) {
    WorkQueue::Entry entry = {
        .priority = priority, .caller = caller, .seconds = seconds, .begun = begun};
    entry.over = [this, name] { return name == over_; };
    entry.work = [this, name](WorkQueue::Turn turn) {
      done_.push_back(name);
      turn_ = std::move(turn);
    };
    return entry;
  }
  std::string over_ = "none";
};

TEST_F(FairTurnsTest, CallersShareTheTimeAndNotTheTurns) {
  for (const char* name : {"a1", "a2"}) PushOf(name, "a", 0.2);
  for (const char* name : {"b1", "b2", "b3", "b4", "b5"}) PushOf(name, "b", 0.05);
  EXPECT_THAT(All(), ElementsAre("a1", "b1", "b2", "b3", "b4", "a2", "b5"));
}

TEST_F(FairTurnsTest, WhoComesLaterHasNoArrears) {
  for (int i = 0; i < 4; ++i) PushOf("a", "a", 0.1);
  for (int i = 0; i < 3; ++i) One();
  for (const char* name : {"b1", "b2"}) PushOf(name, "b", 0.1);
  PushOf("a5", "a", 0.1);
  done_.clear();
  EXPECT_THAT(All(), ElementsAre("b1", "a", "b2", "a5"));
}

TEST_F(FairTurnsTest, WhatIsOverCostsNothing) {
  for (const char* name : {"a1", "a2"}) PushOf(name, "a", 0.2);
  PushOf("b1", "b", 0.2);
  over_ = "a1";
  EXPECT_THAT(All(), ElementsAre("a1", "b1", "a2"))
      << "a1 was free, and of two who had nothing the one goes whose turn is longest ago";
}

TEST_F(FairTurnsTest, WhatWasBegunGoesBeforeTheCallersOtherWork) {
  for (const char* name : {"a1", "a2"}) PushOf(name, "a", 0.1);
  PushOf("a3", "a", 0.1, Priority::kInteractive, /*begun=*/true);
  EXPECT_EQ(queue_.depth(), 3);
  EXPECT_EQ(queue_.images(), 2);
  newest_first_ = true;
  EXPECT_THAT(All(), ElementsAre("a3", "a2", "a1"));
}

TEST_F(FairTurnsTest, BulkWorkHasASixteenthOfTheTime) {
  PushOf("bulk", "y", 0.2, Priority::kBulk);
  One();
  done_.clear();
  for (int i = 0; i < 100; ++i) PushOf("i", "x", 0.02);
  for (int i = 0; i < 2; ++i) PushOf("bulk", "y", 0.2, Priority::kBulk);
  const std::vector<std::string> order = All();
  for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i] == "bulk", i >= 100) << i;
  for (int i = 0; i < 160; ++i) PushOf("i", "x", 0.02);
  PushOf("bulk", "y", 0.2, Priority::kBulk);
  const std::vector<std::string> next = All();
  EXPECT_EQ(std::find(next.begin(), next.end(), "bulk") - next.begin(), 150);
}

TEST_F(FairTurnsTest, LongWorkLeavesAThreadToShortWork) {
  for (int i = 0; i < 9; ++i) PushLong("long", "a", 3);
  std::vector<WorkQueue::Turn> turns;
  const auto next = [&] {
    turns.push_back(queue_.Next()->turn);
    return turns.back().hold != nullptr;
  };
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(next());
  EXPECT_FALSE(queue_.ready()) << "no long piece is queued behind another";
  PushOf("short", "b", 0.01);
  EXPECT_FALSE(next());
  turns.erase(turns.begin());
  EXPECT_FALSE(queue_.ready()) << "a thread is left to short work";
  turns.erase(turns.begin());
  EXPECT_TRUE(next());
  EXPECT_FALSE(queue_.ready());
  turns.erase(turns.begin());
  EXPECT_TRUE(next());
  EXPECT_TRUE(queue_.ready()) << "no short work has come for long";
  EXPECT_TRUE(next());
  EXPECT_FALSE(queue_.ready());
  queue_.Close();
  EXPECT_TRUE(queue_.ready()) << "crews are for those that go on";
}

TEST_F(FairTurnsTest, WhatIsLongAndOverHoldsNoThread) {
  PushLong("long1", "a", 1);
  PushLong("long2", "a", 1);
  over_ = "long1";
  const auto first = queue_.Next();
  EXPECT_TRUE(first->turn.hold == nullptr);
  EXPECT_TRUE(queue_.ready());
}

TEST_F(FairTurnsTest, ACrewOfOneTakesLongWorkToo) {
  PushLong("long1", "a", 1);
  PushOf("short", "b", 0.01);
  PushLong("long2", "a", 1);
  EXPECT_THAT(All(), ElementsAre("long1", "short", "long2"));
}

}  // namespace
}  // namespace pixpool
