#include "server/base/repeats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixpool {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(RepeatsTest, OneOfAKindInAWhileIsToldWithWhatWasLeftOut) {
  FakeClock clock;
  Repeats repeats(seconds(10), 8);
  EXPECT_EQ(repeats.Tell("a", clock.Now()), 0);
  EXPECT_EQ(repeats.Tell("b", clock.Now()), 0);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(repeats.Tell("a", clock.Now()), std::nullopt);
  clock.Advance(seconds(9));
  EXPECT_EQ(repeats.Tell("a", clock.Now()), std::nullopt);
  clock.Advance(seconds(1));
  EXPECT_EQ(repeats.Tell("a", clock.Now()), 8);
  EXPECT_EQ(repeats.Tell("a", clock.Now()), std::nullopt);
  EXPECT_EQ(repeats.Tell("b", clock.Now()), 0);
}

TEST(RepeatsTest, WhatIsLeftOutAtTheEndIsKnown) {
  FakeClock clock;
  Repeats repeats(seconds(10), 8);
  repeats.Tell("told", clock.Now());
  for (int i = 0; i < 3; ++i) repeats.Tell("many", clock.Now());
  EXPECT_THAT(repeats.TakeLeftOut(), ElementsAre(Pair("many", 2)));
  EXPECT_THAT(repeats.TakeLeftOut(), IsEmpty());
}

TEST(RepeatsTest, KindsBeyondTheBoundCountAsOne) {
  FakeClock clock;
  Repeats repeats(seconds(10), 2);
  EXPECT_EQ(repeats.Tell("a", clock.Now()), 0);
  EXPECT_EQ(repeats.Tell("b", clock.Now()), 0);
  EXPECT_EQ(repeats.Tell("c", clock.Now()), 0);
  EXPECT_EQ(repeats.Tell("d", clock.Now()), std::nullopt);
  EXPECT_EQ(repeats.Tell("a", clock.Now()), std::nullopt);
  EXPECT_THAT(repeats.TakeLeftOut(), ElementsAre(Pair("a", 1), Pair("other", 1)));
}

}  // namespace
}  // namespace pixpool
