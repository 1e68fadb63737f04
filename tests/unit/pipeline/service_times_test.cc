#include "server/pipeline/service_times.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

constexpr char kDecode = 0;
constexpr char kPass = 0;

TEST(ServiceTimesTest, NothingIsPredictedBeforeAnythingIsSeen) {
  ServiceTimes times;
  EXPECT_EQ(times.Predict(&kDecode, 1000), 0);
  times.Observe(&kPass, 1000, 0.01);
  EXPECT_EQ(times.Predict(&kDecode, 1000), 0) << "kinds know nothing of each other";
}

TEST(ServiceTimesTest, ASizeThatWasSeenHasItsOwnAverage) {
  ServiceTimes times;
  times.Observe(&kDecode, 1 << 10, 0.001);
  times.Observe(&kDecode, 1 << 20, 0.5);
  EXPECT_DOUBLE_EQ(times.Predict(&kDecode, (1 << 10) + 5), 0.001);
  EXPECT_DOUBLE_EQ(times.Predict(&kDecode, 1 << 20), 0.5);
}

TEST(ServiceTimesTest, AnotherSizeTakesTheNearestInProportion) {
  ServiceTimes times;
  times.Observe(&kDecode, 1 << 10, 0.001);
  EXPECT_DOUBLE_EQ(times.Predict(&kDecode, 1 << 12), 0.004);
  EXPECT_DOUBLE_EQ(times.Predict(&kDecode, 1 << 8), 0.00025);
  times.Observe(&kDecode, 1 << 20, 0.5);
  EXPECT_DOUBLE_EQ(times.Predict(&kDecode, 1 << 19), 0.25);
}

TEST(ServiceTimesTest, FollowsAChange) {
  ServiceTimes times;
  times.Observe(&kDecode, 100, 1);
  for (int i = 0; i < 100; ++i) times.Observe(&kDecode, 100, 3);
  EXPECT_NEAR(times.Predict(&kDecode, 100), 3, 0.01);
}

TEST(ServiceTimesTest, WhatIsForgottenIsUnknownAgain) {
  ServiceTimes times;
  times.Observe(&kDecode, 100, 1);
  times.Forget(&kDecode);
  times.Forget(&kDecode);
  EXPECT_EQ(times.Predict(&kDecode, 100), 0);
}

TEST(ServiceTimesTest, SizesOfNothingAndOfEverythingHaveAPlace) {
  ServiceTimes times;
  for (const int64_t size : {int64_t{-5}, int64_t{0}, int64_t{1}, INT64_MAX}) {
    times.Observe(&kDecode, size, 1);
    EXPECT_GT(times.Predict(&kDecode, size), 0);
  }
}

}  // namespace
}  // namespace pixpool
