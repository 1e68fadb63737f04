#include "server/pipeline/answer_flights.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace pixpool {
namespace {

ImageRef Image(int index) { return {std::make_shared<RequestWork>(), index}; }

std::vector<int> Indices(const std::vector<ImageRef>& images) {
  std::vector<int> indices;
  for (const ImageRef& image : images) indices.push_back(image.index);
  return indices;
}

TEST(AnswerFlightsTest, TheFirstLeadsAndTheOthersFollowInOrder) {
  AnswerFlights flights;
  const Sha256Digest key = Sha256Of("a");
  EXPECT_FALSE(flights.IsOut(key));
  EXPECT_TRUE(flights.Join(key, Image(0)));
  EXPECT_TRUE(flights.IsOut(key));
  EXPECT_FALSE(flights.Join(key, Image(1)));
  EXPECT_TRUE(flights.Join(Sha256Of("b"), Image(2))) << "another answer";
  EXPECT_FALSE(flights.Join(key, Image(3)));
  EXPECT_EQ(Indices(flights.End(key)), (std::vector<int>{1, 3}));
  EXPECT_FALSE(flights.IsOut(key));
  EXPECT_TRUE(flights.End(key).empty());
  EXPECT_TRUE(flights.Join(key, Image(4)));
}

TEST(AnswerFlightsTest, ALeaderThatFailsIsFollowedByOneAtATime) {
  AnswerFlights flights;
  const Sha256Digest key = Sha256Of("a");
  for (int i = 0; i < 3; ++i) flights.Join(key, Image(i));
  EXPECT_EQ(flights.Next(key)->index, 1);
  EXPECT_FALSE(flights.Join(key, Image(3)));
  EXPECT_EQ(flights.Next(key)->index, 2);
  EXPECT_EQ(flights.Next(key)->index, 3);
  EXPECT_FALSE(flights.Next(key));
  EXPECT_FALSE(flights.IsOut(key));
  EXPECT_FALSE(flights.Next(key));
}

// Whatever the threads do, each image leads once or is given back once.
TEST(AnswerFlightsTest, NoneIsLostOrGivenTwice) {
  constexpr int kThreads = 4;
  constexpr int kImages = 2000;
  AnswerFlights flights;
  std::atomic<int> settled = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kImages; ++i) {
        const Sha256Digest key = Sha256Of(std::to_string(i % 3));
        if (!flights.Join(key, Image(i))) continue;
        // This one leads: at times it fails, and its successors with it.
        while ((i + t) % 5 == 0) {
          ++settled;
          if (!flights.Next(key)) break;
        }
        if ((i + t) % 5 == 0) continue;
        settled += 1 + static_cast<int>(flights.End(key).size());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(settled, kThreads * kImages);
}

}  // namespace
}  // namespace pixpool
