#include "client/cli/progress.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/fakes.h"

namespace pixpool::cli {
namespace {

TEST(ProgressTest, DrawsRateAndFailuresAndWipesItself) {
  client::FakeTimer timer;
  std::ostringstream out;
  {
    Progress progress(out, true, 10, &timer);
    timer.Advance(absl::Seconds(2));
    progress.Update(5, 1);
    EXPECT_THAT(out.str(), testing::EndsWith(
                               "[###############---------------]  5/10  2.5 images/s  1 failed"));
  }
  EXPECT_THAT(out.str(), testing::EndsWith("\r\x1b[K"));
}

TEST(ProgressTest, DrawsAtMostTenTimesASecondButAlwaysTheEnd) {
  client::FakeTimer timer;
  std::ostringstream out;
  Progress progress(out, true, 3, &timer);
  progress.Update(1, 0);
  const std::string once = out.str();
  timer.Advance(absl::Milliseconds(99));
  progress.Update(2, 0);
  EXPECT_EQ(out.str(), once);
  progress.Update(3, 0);
  EXPECT_THAT(out.str(), testing::HasSubstr("3/3"));
}

TEST(ProgressTest, SilentWhereNotEnabled) {
  client::FakeTimer timer;
  std::ostringstream out;
  Progress off(out, false, 3, &timer);
  Progress empty(out, true, 0, &timer);
  off.Update(1, 0);
  empty.Update(0, 0);
  off.Clear();
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace pixpool::cli
