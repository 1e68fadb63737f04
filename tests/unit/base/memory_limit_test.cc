#include "server/base/memory_limit.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

namespace pixpool {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

// A folder with /proc and /sys of a machine of 16 GiB.
class MemoryLimitTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(testing::TempDir()) / (std::string("memory_") + test->name());
    std::filesystem::remove_all(root_);
    Write("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1024 kB\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void SetV2() {
    Write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    Write("proc/self/cgroup", "0::/pod/app\n");
  }
  int64_t Bytes() const { return AvailableMemoryBytes(root_.string()); }

  std::filesystem::path root_;
};

TEST_F(MemoryLimitTest, WithoutCgroupsItIsTheMachine) { EXPECT_EQ(Bytes(), 16 * kGiB); }

TEST_F(MemoryLimitTest, NothingAtAllGivesZero) {
  std::filesystem::remove_all(root_);
  EXPECT_EQ(Bytes(), 0);
}

TEST_F(MemoryLimitTest, V2TakesTheTightestLevelAndMaxIsNone) {
  SetV2();
  Write("sys/fs/cgroup/pod/app/memory.max", "max\n");
  EXPECT_EQ(Bytes(), 16 * kGiB);
  Write("sys/fs/cgroup/pod/memory.max", "3221225472\n");
  EXPECT_EQ(Bytes(), 3 * kGiB);
  Write("sys/fs/cgroup/pod/app/memory.high", "2147483648\n");
  EXPECT_EQ(Bytes(), 2 * kGiB);
}

TEST_F(MemoryLimitTest, V1HasItsOwnFileAndANumberForNone) {
  Write("proc/self/mountinfo",
        "33 32 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "34 32 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
  Write("proc/self/cgroup", "4:memory:/app\n1:cpu:/app\n");
  Write("sys/fs/cgroup/memory/app/memory.limit_in_bytes", "9223372036854771712\n");
  Write("sys/fs/cgroup/cpu/app/memory.limit_in_bytes", "1\n");  // nobody's
  EXPECT_EQ(Bytes(), 16 * kGiB);
  Write("sys/fs/cgroup/memory/app/memory.limit_in_bytes", "1879048192\n");
  EXPECT_EQ(Bytes(), 1792 << 20);
}

TEST_F(MemoryLimitTest, WhatIsTouchedIsResident) {
  const int64_t before = ResidentBytes();
  const int64_t own = ResidentBytesOfItsOwn();
  ASSERT_GT(own, 0);
  ASSERT_GT(before, own) << "the program's code is a file's";
  constexpr size_t kBlock = 64 << 20;
  const std::unique_ptr<char[]> block(new char[kBlock]);
  std::memset(block.get(), 1, kBlock);
  EXPECT_GE(ResidentBytes(), before + static_cast<int64_t>(kBlock) / 2);
  EXPECT_GE(ResidentBytesOfItsOwn(), own + static_cast<int64_t>(kBlock) / 2);
  EXPECT_GE(ResidentBytesOfItsOwn(getpid()), own + static_cast<int64_t>(kBlock) / 2);
  EXPECT_EQ(ResidentBytesOfItsOwn(0), 0) << "there is no such process";
  EXPECT_EQ(block[kBlock - 1], 1);
}

}  // namespace
}  // namespace pixpool
