#include "server/pipeline/work_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
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

TEST_F(WorkQueueTest, WhatWaitsIsKnownByLaneAndClass) {
  const TimePoint start{std::chrono::hours(1)};
  int a = 0, b = 0;
  const auto push = [&](const void* lane, Priority priority, const char* caller, int second,
                        bool begun = false) {
    queue_.Push({.lane = lane,
                 .priority = priority,
                 .caller = caller,
                 .since = start + std::chrono::seconds(second),
                 .begun = begun,
                 .work = [](WorkQueue::Turn) {}});
  };
  push(&a, Priority::kInteractive, "x", 3);
  push(&a, Priority::kInteractive, "x", 4);
  push(&a, Priority::kInteractive, "y", 2);
  push(&a, Priority::kBulk, "x", 7);
  push(&a, Priority::kBulk, "x", 9, /*begun=*/true);
  push(&b, Priority::kBulk, "x", 5);
  const auto waiting = queue_.waiting();
  const WorkQueue::Waiting& in_a = waiting.at(&a);
  EXPECT_EQ(in_a.pieces, 5);
  EXPECT_EQ(in_a.oldest[0], start + std::chrono::seconds(2));
  EXPECT_EQ(in_a.oldest[1], start + std::chrono::seconds(7)) << "behind one that was begun";
  EXPECT_EQ(waiting.at(&b).pieces, 1);
  EXPECT_EQ(waiting.at(&b).oldest[0], std::nullopt);
  EXPECT_EQ(waiting.at(&b).oldest[1], start + std::chrono::seconds(5));
  All();
  EXPECT_EQ(queue_.waiting().at(&a).pieces, 0);
  EXPECT_EQ(queue_.waiting().at(&a).oldest[0], std::nullopt);
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

TEST_F(WorkQueueTest, APieceWithASmallerWindowWaitsForThoseLikeIt) {
  Push("light1", "b", Priority::kInteractive, 2);
  auto light = queue_.Next();
  Push("heavy1", "a", Priority::kInteractive, 1);
  auto heavy = queue_.Next();
  ASSERT_TRUE(heavy.has_value()) << "light work that is ahead does not count";
  Push("light2", "b", Priority::kInteractive, 2);
  Push("heavy2", "a", Priority::kInteractive, 1);
  EXPECT_FALSE(queue_.ready()) << "places are the lane's";
  light->turn.place.reset();
  EXPECT_EQ(One(), "light2");
  turn_.place.reset();
  EXPECT_FALSE(queue_.ready()) << "one that is heavy is ahead";
  heavy->turn.place.reset();
  EXPECT_EQ(One(), "heavy2");
}

// By turns of places that light work always wants.
TEST_F(WorkQueueTest, HeavyWorkIsNotStarvedByABacklogOfLightWork) {
  for (int n = 0; n < 8; ++n) Push("light", "b", Priority::kInteractive, 3);
  std::deque<WorkQueue::Ready> ahead;
  for (int n = 0; n < 3; ++n) ahead.push_back(*queue_.Next());
  Push("heavy", "a", Priority::kInteractive, 1);
  ahead.pop_front();
  EXPECT_EQ(One(), "heavy");
}

TEST_F(WorkQueueTest, ALongBulkPieceHoldsUpNoInteractiveOne) {
  const int key = 0;
  const auto push = [&](Priority priority) {
    queue_.Push(
        {.priority = priority, .seconds = 9, .crew = {&key, 1}, .work = [](WorkQueue::Turn) {}});
  };
  push(Priority::kBulk);
  auto bulk = queue_.Next();
  push(Priority::kInteractive);
  EXPECT_TRUE(queue_.ready());
  auto interactive = queue_.Next();
  push(Priority::kBulk);
  EXPECT_FALSE(queue_.ready());
  bulk->turn.hold.reset();
  EXPECT_FALSE(queue_.ready()) << "bulk work waits for both";
  interactive->turn.hold.reset();
  EXPECT_TRUE(queue_.ready());
}

// A caller whose lane is full has small claims on what others used meanwhile, and they on a new
// one.
TEST_F(WorkQueueTest, WhoCouldNotGoHasFewArrears) {
  const int lanes[2] = {};
  const auto push = [&](const std::string& name, const std::string& caller, double seconds,
                        int lane) {
    queue_.Push({.lane = &lanes[lane],
                 .window = 1,
                 .caller = caller,
                 .seconds = seconds,
                 .work = [this, name](WorkQueue::Turn) { done_.push_back(name); }});
  };
  push("a", "a", 1, 0);
  auto held = queue_.Next();
  push("a", "a", 1, 0);  // waits as long as `held` is there
  for (int n = 0; n < 100; ++n) {
    push("b", "b", 1, 1);
    auto ready = queue_.Next();
  }
  for (int n = 0; n < 6; ++n) {
    push("b", "b", 1, 1);
    push("c", "c", 1, 1);
  }
  std::string order;
  for (int n = 0; n < 12; ++n) {
    auto ready = queue_.Next();
    std::move(ready->work)(std::move(ready->turn));
    order += done_.back();
  }
  EXPECT_EQ(std::count(order.begin(), order.begin() + 6, 'b'), 3) << order;
  held->turn.place.reset();
  EXPECT_EQ(One(), "a");
}

TEST_F(WorkQueueTest, BulkWorkThatIsOverIsNoTurn) {
  for (int n = 0; n < 40; ++n) {
    queue_.Push(
        {.caller = "i", .seconds = 1, .work = [this](WorkQueue::Turn) { done_.push_back("i"); }});
  }
  bool over = true;
  for (int n = 0; n < 3; ++n) {
    queue_.Push({.priority = Priority::kBulk,
                 .caller = "b",
                 .seconds = 1,
                 .over = [over] { return over; },
                 .work = [this](WorkQueue::Turn) { done_.push_back("over"); }});
    over = n < 1;
  }
  const std::vector<std::string> order = All();
  const auto at = std::find(order.begin(), order.end(), "over");
  ASSERT_NE(at, order.end());
  EXPECT_THAT(std::vector<std::string>(at, at + 3), ElementsAre("over", "over", "over"));
}

TEST_F(WorkQueueTest, AFullLaneDoesNotHoldUpAnother) {
  const int lanes[2] = {};
  Push("a1", "", Priority::kInteractive, 1, &lanes[0]);
  auto held = queue_.Next();
  Push("a2", "", Priority::kInteractive, 1, &lanes[0]);
  Push("b1", "", Priority::kInteractive, 1, &lanes[1]);
  EXPECT_EQ(One(), "b1");
}

TEST_F(WorkQueueTest, ALaneIsForgottenWhenNothingOfItIsLeft) {
  const int lane = 0;
  EXPECT_TRUE(queue_.ForgetLane(&lane)) << "not known";
  WorkQueue::Turn turn;
  const auto push = [&](WorkQueue::Crew crew) {
    queue_.Push({.lane = &lane, .window = 1, .crew = crew, .work = [&turn](WorkQueue::Turn given) {
                   turn = std::move(given);
                 }});
  };
  push({&lane, 2});
  EXPECT_FALSE(queue_.ForgetLane(&lane)) << "a piece waits";
  auto ready = queue_.Next();
  std::move(ready->work)(std::move(ready->turn));
  EXPECT_FALSE(queue_.ForgetLane(&lane)) << "a place is out";
  turn.place.reset();
  EXPECT_FALSE(queue_.ForgetLane(&lane)) << "a hold is out";
  turn.hold.reset();
  EXPECT_TRUE(queue_.ForgetLane(&lane));
  // What has its address next starts anew.
  push({});
  EXPECT_TRUE(queue_.ready());
  ready = queue_.Next();
  std::move(ready->work)(std::move(ready->turn));
  turn = {};
  EXPECT_TRUE(queue_.ForgetLane(&lane));
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
