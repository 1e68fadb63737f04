#include "client/cpp/window.h"

#include "gtest/gtest.h"

namespace pixpool::client::internal {
namespace {

TEST(WindowTest, BeginsAtItsBoundAndNeverExceedsIt) {
  Window window(16);
  EXPECT_EQ(window.size(), 16);
  for (int i = 0; i < 100; ++i) window.Answered();
  EXPECT_EQ(window.size(), 16);
}

TEST(WindowTest, AWindowThatIsShedAtOnceIsCutOnce) {
  Window window(16);
  for (int i = 0; i < 16; ++i) window.Sent();
  for (int i = 0; i < 16; ++i) window.Shed(i);
  EXPECT_EQ(window.size(), 11);
  window.Shed(window.Sent());
  EXPECT_EQ(window.size(), 7);
}

TEST(WindowTest, NeverClosesAndGrowsByOneAWindow) {
  Window window(16);
  for (int i = 0; i < 50; ++i) window.Shed(window.Sent());
  EXPECT_EQ(window.size(), 1);
  window.Answered();
  EXPECT_EQ(window.size(), 2);
  for (int i = 0; i < 3; ++i) window.Answered();
  EXPECT_EQ(window.size(), 3);
}

}  // namespace
}  // namespace pixpool::client::internal
