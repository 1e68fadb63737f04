#include "server/base/number_text.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

TEST(ShortestText, ReadsBackAsTheSameNumber) {
  EXPECT_EQ(ShortestText(int64_t{-3}), "-3");
  EXPECT_EQ(ShortestText(0.1), "0.1");
  EXPECT_EQ(ShortestText(1e-6), "1e-06");
}

TEST(FloatText, IsThatOfTheFloat) {
  EXPECT_EQ(FloatText(0), "0");
  EXPECT_EQ(FloatText(3), "3");
  EXPECT_EQ(FloatText(static_cast<double>(0.1F)), "0.1") << "as a double it is 0.10000000149011612";
}

TEST(FloatText, KeepsWhatAFloatCannotHold) {
  EXPECT_EQ(FloatText(1e300), "1e+300");
  EXPECT_EQ(FloatText(1e-300), "1e-300");
}

}  // namespace
}  // namespace pixpool
