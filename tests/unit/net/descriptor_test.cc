#include "server/net/descriptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

namespace pixpool {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(DescriptorTest, ClosesWhatItOwnsOnce) {
  const int fd = dup(STDERR_FILENO);
  {
    Descriptor a(fd);
    Descriptor b(std::move(a));
    EXPECT_FALSE(a.valid());  // NOLINT(bugprone-use-after-move): what is left of it is the point
    EXPECT_TRUE(IsOpen(fd));
  }
  EXPECT_FALSE(IsOpen(fd));
  const int kept = dup(STDERR_FILENO);
  { EXPECT_EQ(Descriptor(kept).Release(), kept); }
  EXPECT_TRUE(IsOpen(kept));
  close(kept);
}

TEST(DescriptorTest, TheLimitIsRaisedAsFarAsItGoes) {
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max = std::min<rlim_t>(limit.rlim_max, 1000);
  limit.rlim_cur /= 2;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(RaiseDescriptorLimit(), static_cast<int>(limit.rlim_max));
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(limit.rlim_cur, limit.rlim_max);
}

TEST(DescriptorTest, ConnectionsLeaveSomeForTheRest) {
  EXPECT_EQ(ConnectionsWithin(kFewestDescriptors - 1), 0);
  EXPECT_EQ(ConnectionsWithin(kFewestDescriptors), kFewestDescriptors / 4);
  EXPECT_EQ(ConnectionsWithin(1024), 1024 - 256);
  EXPECT_EQ(ConnectionsWithin(1'000'000), 1'000'000 - 256);
}

}  // namespace
}  // namespace pixpool
