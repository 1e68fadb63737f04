#include "server/base/settling.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

using News = Settling<int>::News;

TEST(SettlingTest, WhatIsInForceIsNoNews) {
  Settling<int> settling;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(settling.Look(1, 1), News::kNone);
}

TEST(SettlingTest, WhatWasTheSameTwiceIsJudgedOnce) {
  Settling<int> settling;
  EXPECT_EQ(settling.Look(2, 1), News::kNone);
  EXPECT_EQ(settling.Look(3, 1), News::kNone) << "it still changes";
  EXPECT_EQ(settling.Look(3, 1), News::kSettled);
  EXPECT_EQ(settling.Look(3, 1), News::kNone);
  EXPECT_EQ(settling.Look(4, 1), News::kNone);
  EXPECT_EQ(settling.Look(4, 1), News::kSettled);
  settling.Taken();
  EXPECT_EQ(settling.Look(4, 4), News::kNone);
}

TEST(SettlingTest, ErrorsSettleToo) {
  Settling<int> settling;
  EXPECT_EQ(settling.Look(absl::NotFoundError("a"), 1), News::kNone);
  EXPECT_EQ(settling.Look(absl::NotFoundError("b"), 1), News::kNone);
  EXPECT_EQ(settling.Look(absl::NotFoundError("b"), 1), News::kSettled);
}

TEST(SettlingTest, ComingBackIsNewsOnlyAfterAJudgement) {
  Settling<int> settling;
  EXPECT_EQ(settling.Look(2, 1), News::kNone);
  EXPECT_EQ(settling.Look(1, 1), News::kNone);
  EXPECT_EQ(settling.Look(2, 1), News::kNone);
  EXPECT_EQ(settling.Look(2, 1), News::kSettled);
  EXPECT_EQ(settling.Look(1, 1), News::kAgain);
  EXPECT_EQ(settling.Look(1, 1), News::kNone);
}

}  // namespace
}  // namespace pixpool
