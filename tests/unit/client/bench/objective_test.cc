#include "client/bench/objective.h"

#include <cmath>

#include "client/bench/search.h"
#include "gtest/gtest.h"

namespace pixpool::bench {
namespace {

constexpr int64_t kMs = 1000 * 1000;

TEST(ObjectiveTest, Parses) {
  const auto p99 = ParseObjective("p99=100ms");
  ASSERT_TRUE(p99.ok());
  EXPECT_DOUBLE_EQ(p99->quantile, 0.99);
  EXPECT_EQ(p99->limit_ns, 100 * kMs);
  EXPECT_DOUBLE_EQ(ParseObjective("p99.9=1.5s")->quantile, 0.999);
  EXPECT_EQ(ParseObjective("p50=800us")->limit_ns, 800000);
  EXPECT_DOUBLE_EQ(ParseObjective("max=2s")->quantile, 1);
  for (const char* bad : {"", "p99", "p99=", "p99=100", "p0=1s", "p101=1s", "p=1s", "99=1s",
                          "mean=1s", "p99=-1s", "p99=0s", "p99=inf", "pnan=1s"}) {
    EXPECT_FALSE(ParseObjective(bad).ok()) << bad;
  }
}

TEST(ObjectiveTest, AFailureTookForever) {
  Result result;
  for (int i = 0; i < 98; ++i) result.latency.Add(10 * kMs);
  EXPECT_TRUE(Meets(result, {*ParseObjective("p99=20ms")}));
  result.requests_failed = 1;  // of 99 the 99th: p99 is ceil(98.01)
  EXPECT_TRUE(std::isinf(LatencyMs(result, 0.99)));
  EXPECT_FALSE(Meets(result, {*ParseObjective("p99=20ms")}));
  EXPECT_TRUE(Meets(result, {*ParseObjective("p90=20ms"), *ParseObjective("p50=11ms")}));
  EXPECT_FALSE(Meets(result, {*ParseObjective("p90=20ms"), *ParseObjective("p50=9ms")}));
  EXPECT_FALSE(Meets(result, {*ParseObjective("max=20ms")}));
}

TEST(ObjectiveTest, NothingSentMeetsNothing) {
  EXPECT_FALSE(Meets(Result(), {*ParseObjective("p99=20ms")}));
}

TEST(SearchTest, FindsTheEdgeWhereverItIs) {
  for (const double edge : {3.0, 40.0, 69.0, 71.0, 99.0, 250.0}) {
    int steps = 0;
    const double found = FindHighestRate({.guess = 100, .precision = 0.05, .max_steps = 20},
                                         [&](double rate) { return ++steps, rate <= edge; });
    EXPECT_LE(found, edge);
    EXPECT_GE(found, edge / 1.05) << edge;
    EXPECT_LE(steps, 14) << edge;
  }
}

TEST(SearchTest, GivesUpWhereNothingPasses) {
  int steps = 0;
  EXPECT_EQ(FindHighestRate({.guess = 100}, [&](double) { return ++steps, false; }), 0);
  EXPECT_LE(steps, 8);
  EXPECT_GT(FindHighestRate({.guess = 100, .max_steps = 5}, [](double) { return true; }), 150);
}

}  // namespace
}  // namespace pixpool::bench
