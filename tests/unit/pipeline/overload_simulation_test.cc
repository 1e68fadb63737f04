#include "tests/unit/pipeline/overload_simulation.h"

#include <gtest/gtest.h>

#include <string>

#include "server/base/text.h"

namespace pixpool {
namespace {

// Threads and time of a picture such as those of two cores: 174 pictures a second.
constexpr int kThreads = 4;
constexpr double kService = 0.023;
constexpr double kPeak = kThreads / kService;
constexpr double kSeconds = 40;
constexpr double kWarmUp = 5;

Outcome Open(double times_peak, double deadline) {
  Simulation server(kThreads, kService);
  server.Add({.name = "open", .rate = times_peak * kPeak, .deadline = deadline});
  server.Run(kSeconds, kWarmUp);
  return server.outcome("open");
}

TEST(OverloadTest, AnswersInTimeStayAtThePeakWhateverComes) {
  for (const double deadline : {0.25, 1.0, 5.0}) {
    const double usual = Open(0.8, deadline).Percentile(0.99);
    for (const double load : {1.2, 1.5, 2.0, 10.0}) {
      SCOPED_TRACE(Concat(load, " times the peak, deadline ", deadline, " s"));
      const Outcome outcome = Open(load, deadline);
      const double rate = static_cast<double>(outcome.seconds.size()) / (kSeconds - kWarmUp);
      EXPECT_GE(rate, 0.95 * kPeak);
      EXPECT_LE(outcome.Percentile(0.99), 1.5 * usual);
      EXPECT_LE(outcome.late, 0.001 * static_cast<double>(outcome.seconds.size()));
    }
  }
}

TEST(OverloadTest, ALoadThatFitsIsNotRefused) {
  for (const double load : {0.3, 0.8, 0.9}) {
    EXPECT_EQ(Open(load, 5).refused, 0) << load;
  }
}

// They wait for their answers, so they cannot overload anything.
TEST(OverloadTest, CallersThatWaitAreNotRefused) {
  for (const int callers : {1, 8, 32, 128, 240}) {
    Simulation server(kThreads, kService);
    server.Add({.name = "closed", .closed_loop = callers});
    server.Run(kSeconds, 0);
    EXPECT_EQ(server.outcome("closed").refused, 0) << callers;
    EXPECT_EQ(server.outcome("closed").late, 0) << callers;
  }
}

// Those who come back at once when they are refused keep up what others have begun: nothing but
// refusals, although all of them would be served. The server finds that out by itself.
TEST(OverloadTest, CallersThatWaitAreServedAgainAfterAnOverload) {
  for (const int callers : {8, 32, 60}) {
    for (const double returns : {0.001, 0.005, 0.03, 0.2}) {
      for (const int pictures : {1, 4}) {
        SCOPED_TRACE(Concat(callers / pictures, " callers of ", pictures, " pictures, back after ",
                            returns, " s"));
        Simulation server(kThreads, kService);
        server.Add({.name = "closed",
                    .closed_loop = callers / pictures,
                    .returns = returns,
                    .pictures = pictures});
        server.Add({.name = "open", .rate = 3 * kPeak, .until = 10, .deadline = 1});
        // Who has no time for an answer is refused, and says nothing about the load.
        server.Add({.name = "hasty", .rate = 20, .deadline = 0.005});
        server.Run(220, 170);
        const Outcome& closed = server.outcome("closed");
        EXPECT_EQ(closed.refused, 0);
        EXPECT_GE(static_cast<double>(closed.seconds.size()) * pictures,
                  0.95 * kPeak * (220 - 170));
      }
    }
  }
}

TEST(OverloadTest, FollowsCoresThatGoAndComeBack) {
  Simulation server(kThreads, kService);
  server.Add({.name = "open", .rate = 1.5 * kPeak, .deadline = 1});
  server.SlowDown(20, 2);
  server.SlowDown(60, 1);
  server.Run(100, 0);
  EXPECT_GE(server.Rate(10, 20), 0.95 * kPeak);
  EXPECT_GE(server.Rate(30, 60), 0.95 * kPeak / 2);
  EXPECT_GE(server.Rate(70, 100), 0.95 * kPeak);
}

TEST(OverloadTest, BulkWorkGivesWay) {
  Simulation alone(kThreads, kService);
  alone.Add({.name = "interactive", .rate = 0.3 * kPeak, .deadline = 1});
  alone.Run(kSeconds, kWarmUp);
  Simulation beside(kThreads, kService);
  beside.Add({.name = "interactive", .rate = 0.3 * kPeak, .deadline = 1});
  beside.Add({.name = "bulk", .priority = Priority::kBulk, .rate = 12 * kPeak, .deadline = 5});
  beside.Run(kSeconds, kWarmUp);
  const Outcome& outcome = beside.outcome("interactive");
  EXPECT_GE(outcome.seconds.size(), 0.994 * outcome.sent);
  // One picture in service is waited for, with bulk or without; more is not.
  EXPECT_LE(outcome.Percentile(0.99), 1.5 * alone.outcome("interactive").Percentile(0.99));
  EXPECT_GE(beside.Rate(kWarmUp, kSeconds), 0.95 * kPeak) << "what is left is for bulk work";
}

TEST(OverloadTest, BulkWorkKeepsATwentieth) {
  Simulation server(kThreads, kService);
  server.Add({.name = "interactive", .rate = 3 * kPeak, .deadline = 1});
  server.Add({.name = "bulk", .priority = Priority::kBulk, .closed_loop = 8, .deadline = 60});
  server.Run(kSeconds, kWarmUp);
  const double bulk = static_cast<double>(server.outcome("bulk").seconds.size());
  EXPECT_GE(bulk / (kSeconds - kWarmUp), 0.05 * kPeak);
  EXPECT_LE(bulk / (kSeconds - kWarmUp), 0.10 * kPeak);
}

TEST(OverloadTest, ACallerWithAThousandCallsDoesNotStarveOneWithOne) {
  Simulation server(kThreads, kService);
  server.Add({.name = "greedy", .closed_loop = 1000});
  server.Add({.name = "modest", .closed_loop = 1});
  server.Run(kSeconds, kWarmUp);
  const Outcome& modest = server.outcome("modest");
  EXPECT_LE(modest.refused, 0.01 * modest.sent);
  EXPECT_LE(modest.Percentile(0.99), 3 * kService) << "it waits for one picture, not for all";
  const Outcome& greedy = server.outcome("greedy");
  EXPECT_LE(greedy.refused, 3.5 * static_cast<double>(greedy.seconds.size()))
      << "or refusing it would take the cores";
  EXPECT_GE(server.Rate(kWarmUp, kSeconds), 0.95 * kPeak);
}

// What a caller who sends usual pictures one at a time sees beside others.
void ExpectServed(const Outcome& modest, double most_seconds) {
  EXPECT_GE(static_cast<double>(modest.seconds.size()), 0.99 * modest.sent);
  EXPECT_LE(modest.Percentile(0.99), most_seconds);
}

// Callers have shares of the time, and not of the pictures.
TEST(OverloadTest, DearWorkOfACallerStaysHisOwn) {
  for (const int threads : {2, 4}) {
    for (const double seconds : {0.1, 1.6, 7.8}) {
      SCOPED_TRACE(Concat(threads, " threads, pieces of ", seconds, " s"));
      Simulation server(threads, kService);
      server.Add({.name = "greedy", .closed_loop = 8, .deadline = 60, .seconds = seconds});
      server.Add({.name = "modest", .closed_loop = 1, .deadline = 5});
      server.Run(120, kWarmUp);
      // Pieces that are not long take all threads; one of them is waited for.
      ExpectServed(server.outcome("modest"),
                   seconds < kLongSeconds ? 1.3 * seconds + 2 * kService : 3 * kService);
      EXPECT_GE(server.outcome("greedy").seconds.size(), 1U) << "it has a thread at least";
    }
  }
}

TEST(OverloadTest, OneCallOfManyPiecesKeepsNobodyElseAway) {
  Simulation server(2, kService);
  server.Add({.name = "modest", .closed_loop = 1, .deadline = 5});
  server.Add({.name = "greedy", .rate = 0.1, .deadline = 60, .seconds = 0.9, .pictures = 100});
  server.Run(120, kWarmUp);
  ExpectServed(server.outcome("modest"), 3 * kService);
}

TEST(OverloadTest, WithoutShortWorkLongWorkHasAllThreads) {
  Simulation server(2, kService);
  server.Add({.name = "greedy", .closed_loop = 8, .deadline = 60, .seconds = 0.9});
  server.Run(120, 20);
  EXPECT_GE(server.Rate(20, 120), 0.95 * 2 / 0.9);
}

TEST(OverloadTest, LongBulkWorkHasItsTwentiethOfTheTimeAndNoMore) {
  Simulation server(2, kService);
  server.Add({.name = "interactive", .rate = 3 * 2 / kService, .deadline = 1});
  server.Add({.name = "bulk",
              .priority = Priority::kBulk,
              .closed_loop = 4,
              .deadline = 60,
              .seconds = 0.2});
  server.Run(120, kWarmUp);
  const double share =
      static_cast<double>(server.outcome("bulk").seconds.size()) * 0.2 / (2 * (120 - kWarmUp));
  EXPECT_GE(share, 0.05);
  EXPECT_LE(share, 0.10);
}

// Each is refused no more than it would be under one name.
TEST(OverloadTest, ManyCallersThatWaitAreNotRefused) {
  Simulation server(kThreads, kService);
  for (int i = 0; i < 100; ++i) server.Add({.name = Concat("caller", i), .closed_loop = 1});
  server.Run(kSeconds, 0);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(server.outcome(Concat("caller", i)).refused, 0) << i;
  EXPECT_GE(server.Rate(kWarmUp, kSeconds), 0.95 * kPeak);
}

}  // namespace
}  // namespace pixpool
