#include "server/pipeline/held_bytes.h"

#include <gtest/gtest.h>

#include <thread>
#include <utility>
#include <vector>

namespace pixpool {
namespace {

TEST(HeldBytesTest, BoundsTheSumAndGivesBack) {
  HeldBytes held(100);
  ByteHold first;
  ByteHold second;
  ASSERT_TRUE(held.Take(60, &first));
  EXPECT_FALSE(held.Take(41, &second));
  EXPECT_TRUE(held.Take(40, &second));
  EXPECT_EQ(held.bytes(), 100);
  ByteHold moved = std::move(first);
  EXPECT_EQ(held.bytes(), 100);
  moved = std::move(second);
  EXPECT_EQ(held.bytes(), 40) << "what it held before is given back";
  moved.Release();
  moved.Release();
  EXPECT_EQ(held.bytes(), 0);
}

TEST(HeldBytesTest, ASingleOneMayBeLargerThanAll) {
  HeldBytes held(100);
  ByteHold large;
  ByteHold other;
  ASSERT_TRUE(held.Take(1000, &large));
  EXPECT_FALSE(held.Take(1, &other));
  large.Release();
  EXPECT_TRUE(held.Take(1, &other));
  EXPECT_FALSE(held.Take(1000, &large));
}

TEST(HeldBytesTest, ALowerBoundCountsFromThenOn) {
  HeldBytes held(100);
  ByteHold first;
  ByteHold second;
  ASSERT_TRUE(held.Take(50, &first));
  held.SetMost(40);
  EXPECT_EQ(held.bytes(), 50);
  EXPECT_FALSE(held.Take(1, &second));
}

TEST(HeldBytesTest, ManyThreadsNeverGoBeyond) {
  HeldBytes held(10);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&held] {
      for (int i = 0; i < 20'000; ++i) {
        ByteHold hold;
        if (held.Take(3, &hold)) {
          EXPECT_LE(held.bytes(), 10);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(held.bytes(), 0);
}

}  // namespace
}  // namespace pixpool
