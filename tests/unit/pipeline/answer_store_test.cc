#include "server/pipeline/answer_store.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/support/counting_allocator.h"

namespace pixpool {
namespace {

ImageFeatures Features(size_t values) {
  ImageFeatures features;
  HeadOutput& output = features.outputs.emplace_back();
  output.shape = {static_cast<int64_t>(values)};
  output.values.assign(values, 0.5f);
  return features;
}

std::shared_ptr<const ImageFeatures> Answer(size_t values) { return KeptAnswer(Features(values)); }

Sha256Digest Key(int number) { return Sha256Of(std::to_string(number)); }

TEST(AnswerStoreTest, WhatWasUsedLastIsKept) {
  const int64_t one = AnswerBytes(*Answer(100));
  AnswerStore store(20 * one);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(store.Keep(Key(i), nullptr, Answer(100)), 0u);
  EXPECT_EQ(store.usage().answers, 20);
  EXPECT_EQ(store.usage().bytes, 20 * one);
  EXPECT_NE(store.Find(Key(0)), nullptr) << "which makes it the newest";
  EXPECT_EQ(store.Keep(Key(20), nullptr, Answer(100)), 1u);
  EXPECT_NE(store.Find(Key(0)), nullptr);
  EXPECT_EQ(store.Find(Key(1)), nullptr);
  EXPECT_NE(store.Find(Key(2)), nullptr);
  EXPECT_EQ(store.usage().bytes, 20 * one);
}

TEST(AnswerStoreTest, ALargeOneHasSeveralGoAndAVeryLargeOneIsNotKept) {
  const int64_t one = AnswerBytes(*Answer(100));
  AnswerStore store(64 * one);
  for (int i = 0; i < 64; ++i) store.Keep(Key(i), nullptr, Answer(100));
  const auto large = Answer(300);
  EXPECT_EQ(store.Keep(Key(100), nullptr, large),
            static_cast<size_t>((AnswerBytes(*large) + one - 1) / one));
  EXPECT_LE(store.usage().bytes, 64 * one);
  EXPECT_EQ(store.Keep(Key(101), nullptr, Answer(1000)), 0u);
  EXPECT_EQ(store.Find(Key(101)), nullptr);
  EXPECT_EQ(AnswerStore(0).Keep(Key(1), nullptr, Answer(1)), 0u);
}

TEST(AnswerStoreTest, TheSameOneIsKeptOnce) {
  AnswerStore store(1 << 20);
  const auto first = Answer(10);
  store.Keep(Key(1), nullptr, first);
  store.Keep(Key(1), nullptr, Answer(10));
  EXPECT_EQ(store.usage().answers, 1);
  EXPECT_EQ(store.usage().bytes, AnswerBytes(*first));
  EXPECT_EQ(store.Find(Key(1)), first);
}

TEST(AnswerStoreTest, TheAnswersOfAModelCanBeDropped) {
  AnswerStore store(1 << 20);
  const int one = 1, other = 2;
  for (int i = 0; i < 10; ++i) store.Keep(Key(i), i % 2 == 0 ? &one : &other, Answer(10));
  EXPECT_EQ(store.Forget(&one), 5u);
  EXPECT_EQ(store.Forget(&one), 0u);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(store.Find(Key(i)) == nullptr, i % 2 == 0);
  EXPECT_EQ(store.Forget(&other), 5u);
  EXPECT_EQ(store.usage().bytes, 0);
}

TEST(AnswerStoreTest, AnAnswerTakesNoMoreThanItCounts) {
  if (!testing::CountsAllocations()) GTEST_SKIP() << "a sanitizer has a malloc of its own";
  ImageFeatures mixed = Features(7);
  mixed.warnings = {"a warning that is long enough to be on the heap", "short"};
  mixed.outputs[0].png.assign(300'000, 'p');
  mixed.outputs[0].warnings.assign(3, std::string(40, 'w'));
  mixed.outputs[0].scores.assign(5, {});
  mixed.outputs.push_back(mixed.outputs[0]);
  for (int r = 0; r < 3; ++r) mixed.regions.push_back({.id = "r", .outputs = mixed.outputs});
  for (const ImageFeatures& features : {Features(1), Features(1280), Features(100'000), mixed}) {
    AnswerStore store(int64_t{1} << 30);
    store.Keep(Key(1000), nullptr, Answer(1));
    const int64_t counted = store.usage().bytes;
    const int64_t before = testing::AllocatedBytes();
    for (int i = 0; i < 100; ++i) store.Keep(Key(i), nullptr, KeptAnswer(features));
    const int64_t taken = testing::AllocatedBytes() - before;
    EXPECT_LE(taken, store.usage().bytes - counted);
    EXPECT_GE(taken, (store.usage().bytes - counted) * 6 / 10);
  }
}

TEST(AnswerStoreTest, AnswersComeBackAsTheyWereWithoutWhatIsTheRequests) {
  ImageFeatures made = Features(3);
  made.outputs[0].indices = {1, 2};
  made.outputs[0].packed = "packed";
  made.outputs[0].scale = 0.25f;
  made.outputs[0].scores = {{.class_index = 4, .score = 0.5f}};
  made.outputs[0].warnings = {"of the head"};
  made.outputs[0].box = {1, 2, 3, 4};
  made.outputs[0].png = "png";
  made.regions = {{.id = "theirs", .box = {1, 2, 3, 4}, .outputs = made.outputs}};
  made.warnings = {"of the picture"};
  made.picture = {10, 20};
  made.input = {5, 6};
  made.times[0] = std::chrono::seconds(1);

  ImageFeatures got;
  got.regions = {{.id = "mine", .box = {5, 6, 7, 8}, .outputs = {}}};
  UseAnswer(*KeptAnswer(made), &got);
  EXPECT_TRUE(got.cached);
  EXPECT_EQ(got.regions[0].id, "mine");
  EXPECT_EQ(got.regions[0].box.left, 5);
  EXPECT_EQ(got.warnings, made.warnings);
  EXPECT_EQ(got.picture, made.picture);
  EXPECT_EQ(got.input, made.input);
  EXPECT_EQ(got.times[0], TimeDuration{});
  for (const HeadOutput& output : {got.outputs.at(0), got.regions[0].outputs.at(0)}) {
    const HeadOutput& want = made.outputs[0];
    EXPECT_EQ(output.shape, want.shape);
    EXPECT_EQ(output.values, want.values);
    EXPECT_EQ(output.indices, want.indices);
    EXPECT_EQ(output.packed, want.packed);
    EXPECT_EQ(output.scale, want.scale);
    EXPECT_EQ(output.scores.at(0).class_index, 4);
    EXPECT_EQ(output.warnings, want.warnings);
    EXPECT_EQ(output.box, want.box);
    EXPECT_EQ(output.png, want.png);
  }
}

TEST(AnswerStoreTest, ThreadsShareItAndItStaysWithinItsBytes) {
  const int64_t one = AnswerBytes(*Answer(50));
  AnswerStore store(32 * one);
  const int model = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 3000; ++i) {
        const int number = (i * 7 + t) % 100;
        const auto found = store.Find(Key(number));
        if (found == nullptr) {
          store.Keep(Key(number), &model, Answer(static_cast<size_t>(number % 50)));
        } else {
          EXPECT_EQ(found->outputs[0].values.size(), static_cast<size_t>(number % 50));
        }
        EXPECT_LE(store.usage().bytes, 32 * one);
        if (i % 1000 == 999) store.Forget(&model);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  store.Forget(&model);
  EXPECT_EQ(store.usage().bytes, 0);
  EXPECT_EQ(store.usage().answers, 0);
}

}  // namespace
}  // namespace pixpool
