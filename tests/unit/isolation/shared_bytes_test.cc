#include "server/isolation/shared_bytes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace pixpool {
namespace {

TEST(SharedBytesTest, BothSidesSeeTheSame) {
  auto ours = SharedBytes::Make();
  ASSERT_TRUE(ours.ok()) << ours.status();
  ASSERT_TRUE(ours->Grow(10).ok());
  EXPECT_GE(ours->size(), 10u);
  SharedBytes theirs(dup(ours->fd()));
  ASSERT_TRUE(theirs.Map(ours->size()));
  ours->data()[9] = 7;
  EXPECT_EQ(theirs.data()[9], 7);

  // What it holds stays as it grows.
  ASSERT_TRUE(ours->Grow(ours->size() + 1).ok());
  ASSERT_TRUE(theirs.Map(ours->size()));
  EXPECT_EQ(ours->data()[9], 7);
  theirs.data()[ours->size() - 1] = 8;
  EXPECT_EQ(ours->data()[ours->size() - 1], 8);
}

TEST(SharedBytesTest, NobodyMakesItShorter) {
  auto ours = SharedBytes::Make();
  ASSERT_TRUE(ours.ok()) << ours.status();
  ASSERT_TRUE(ours->Grow(10).ok());
  EXPECT_NE(ftruncate(ours->fd(), 0), 0);
  EXPECT_NE(fcntl(ours->fd(), F_ADD_SEALS, F_SEAL_GROW), 0);
}

TEST(SharedBytesTest, GivesMemoryBack) {
  auto ours = SharedBytes::Make();
  ASSERT_TRUE(ours.ok()) << ours.status();
  ASSERT_TRUE(ours->Grow(4 << 20).ok());
  const auto held = [&] {
    struct stat file = {};
    fstat(ours->fd(), &file);
    return file.st_blocks * 512;
  };
  for (size_t i = 0; i < ours->size(); i += 4096) ours->data()[i] = 1;
  EXPECT_EQ(held(), 4 << 20);
  ours->GiveBack(1 << 20);
  EXPECT_EQ(held(), 1 << 20);
  EXPECT_EQ(ours->data()[0], 1);
  EXPECT_EQ(ours->data()[1 << 20], 0);
}

}  // namespace
}  // namespace pixpool
