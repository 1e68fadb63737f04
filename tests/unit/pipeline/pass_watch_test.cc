#include "server/pipeline/pass_watch.h"

#include <gtest/gtest.h>

namespace pixpool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int64_t kUsual = 224 * 224;

class PassWatchTest : public ::testing::Test {
 protected:
  // A pass that took that long.
  void Run(PassWatch* watch, int64_t pixels, TimeDuration took) {
    watch->Begin(0, clock_.Now(), {.pixels = pixels});
    clock_.Advance(took);
    watch->End(0, clock_.Now());
  }
  double Used(const PassWatch& watch) { return watch.TimeUsed(clock_.Now()); }

  FakeClock clock_;
};

TEST_F(PassWatchTest, NothingUnderWayIsNothingUsed) {
  PassWatch watch(2, seconds(5), kUsual);
  EXPECT_EQ(Used(watch), 0);
  Run(&watch, kUsual, seconds(30));
  EXPECT_EQ(Used(watch), 0);
  EXPECT_EQ(watch.Oldest(clock_.Now()), seconds(0));
}

TEST_F(PassWatchTest, ThePassThatUsedMostOfItsTimeCounts) {
  PassWatch watch(2, seconds(5), kUsual);
  watch.Begin(0, clock_.Now(), {.pixels = kUsual});
  clock_.Advance(seconds(4));
  watch.Begin(1, clock_.Now(), {.pixels = kUsual});
  clock_.Advance(seconds(2));
  EXPECT_DOUBLE_EQ(Used(watch), 1.2);
  EXPECT_EQ(watch.Oldest(clock_.Now()), seconds(6));
  watch.End(0, clock_.Now());
  EXPECT_DOUBLE_EQ(Used(watch), 0.4);
  EXPECT_EQ(watch.Oldest(clock_.Now()), seconds(2));
}

TEST_F(PassWatchTest, ALargeInputMayTakeLongerInProportion) {
  PassWatch watch(1, seconds(5), kUsual);
  watch.Begin(0, clock_.Now(), {.pixels = 80 * kUsual});
  clock_.Advance(seconds(50));
  EXPECT_DOUBLE_EQ(Used(watch), 0.5);
}

TEST_F(PassWatchTest, ALittleLargerIsNotLarge) {
  PassWatch watch(1, seconds(5), kUsual);
  watch.Begin(0, clock_.Now(), {.pixels = 4 * kUsual});
  clock_.Advance(milliseconds(2500));
  EXPECT_DOUBLE_EQ(Used(watch), 0.5);
}

TEST_F(PassWatchTest, AKnownPaceBoundsALargeInput) {
  PassWatch watch(1, seconds(5), kUsual);
  Run(&watch, kUsual, milliseconds(20));
  watch.Begin(0, clock_.Now(), {.pixels = 80 * kUsual});
  clock_.Advance(seconds(16));  // 80 * 20 ms * kSlack = 32 s, not 100
  EXPECT_NEAR(Used(watch), 0.5, 1e-6);
}

TEST_F(PassWatchTest, AFastPaceLeavesThePatience) {
  PassWatch watch(1, seconds(5), kUsual);
  Run(&watch, kUsual, milliseconds(20));
  watch.Begin(0, clock_.Now(), {.pixels = kUsual});
  clock_.Advance(milliseconds(2500));
  EXPECT_DOUBLE_EQ(Used(watch), 0.5);
}

TEST_F(PassWatchTest, ASlowPaceNeverGivesMoreThanProportion) {
  PassWatch watch(1, seconds(5), kUsual);
  Run(&watch, kUsual, seconds(100));
  watch.Begin(0, clock_.Now(), {.pixels = 8 * kUsual});
  clock_.Advance(seconds(5));
  EXPECT_DOUBLE_EQ(Used(watch), 0.5);
}

TEST_F(PassWatchTest, HeadsHaveTheirOwnTime) {
  PassWatch watch(1, seconds(5), kUsual);
  watch.Begin(0, clock_.Now(), {.pixels = kUsual, .head_operations = 2e9});
  clock_.Advance(milliseconds(12'500));
  EXPECT_DOUBLE_EQ(Used(watch), 0.5);
}

TEST_F(PassWatchTest, WithoutPatienceNothingHangs) {
  PassWatch watch(1, seconds(0), kUsual);
  watch.Begin(0, clock_.Now(), {.pixels = kUsual});
  clock_.Advance(seconds(1000));
  EXPECT_EQ(Used(watch), 0);
  EXPECT_EQ(watch.Oldest(clock_.Now()), seconds(1000));
}

}  // namespace
}  // namespace pixpool
