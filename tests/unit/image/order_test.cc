// The same bytes give the same answer, whatever was decoded before them on the same thread.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::Decode;
using testing::Fixture;

// What came of a picture: its pixels, or the error.
struct Answer {
  std::string status;
  std::string pixels;
  bool operator==(const Answer&) const = default;
};

Answer AnswerTo(const Fixture& fixture) {
  const absl::StatusOr<Image> image = Decode(fixture.bytes, fixture.options);
  if (!image.ok()) return {image.status().ToString(), ""};
  return {"", std::string(reinterpret_cast<const char*>(image->data()), image->byte_size())};
}

// On a thread that has decoded nothing before.
Answer FreshAnswerTo(const Fixture& fixture) {
  Answer answer;
  std::thread([&] { answer = AnswerTo(fixture); }).join();
  return answer;
}

// All pictures but the few huge ones, of every format, good and bad.
std::vector<Fixture> AllPictures() {
  std::vector<Fixture> fixtures = testing::LoadFixtures("");
  std::erase_if(fixtures, [](const Fixture& f) { return f.bytes.size() > 200'000; });
  return fixtures;
}

TEST(OrderTest, WhatCameBeforeDoesNotMatter) {
  const std::vector<Fixture> fixtures = AllPictures();
  ASSERT_GT(fixtures.size(), 300u);
  std::vector<Answer> fresh;
  for (const Fixture& fixture : fixtures) fresh.push_back(FreshAnswerTo(fixture));
  std::mt19937 random(1);
  for (int i = 0; i < 6000; ++i) {
    const size_t n = random() % fixtures.size();
    ASSERT_TRUE(AnswerTo(fixtures[n]) == fresh[n]) << fixtures[n].name << ", number " << i;
  }
}

// Those whose answer could come from another picture's tables, after each of all.
TEST(OrderTest, AFileWithoutTablesGetsNobodyElses) {
  const std::vector<Fixture> fixtures = AllPictures();
  int bare = 0;
  for (const Fixture& fixture : fixtures) {
    if (fixture.name.find("_without_tables_") == std::string::npos) continue;
    ++bare;
    const Answer fresh = FreshAnswerTo(fixture);
    for (const Fixture& before : fixtures) {
      (void)AnswerTo(before);
      ASSERT_TRUE(AnswerTo(fixture) == fresh) << fixture.name << " after " << before.name;
    }
  }
  EXPECT_GE(bare, 4);
}

}  // namespace
}  // namespace pixpool
