#include "server/base/cpu_quota.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace pixpool {
namespace {

constexpr char kV2Mount[] =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

// A folder with /proc and /sys of a machine of 16 CPUs.
class CpuQuotaTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::path(testing::TempDir()) / (std::string("cpu_quota_") + test->name());
    std::filesystem::remove_all(root_);
    Write("sys/devices/system/cpu/online", "0-15\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void SetV2(const std::string& cgroup) {
    Write("proc/self/mountinfo", kV2Mount);
    Write("proc/self/cgroup", "0::" + cgroup + "\n");
  }
  void SetV1(const std::string& mount_root, const std::string& cgroup) {
    Write("proc/self/mountinfo",
          "25 20 0:22 / /proc rw - proc proc rw\n"
          "33 32 0:30 " +
              mount_root +
              " /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
              "34 32 0:31 " +
              mount_root + " /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n");
    Write("proc/self/cgroup", "5:cpuset:" + cgroup + "\n4:cpu,cpuacct:" + cgroup + "\n0::/\n");
  }
  int Count() const { return AvailableCpuCount(root_.string()); }

  std::filesystem::path root_;
};

TEST_F(CpuQuotaTest, WithoutCgroupsTheMachineCounts) { EXPECT_EQ(Count(), 16); }

TEST_F(CpuQuotaTest, NothingAtAllGivesOne) {
  std::filesystem::remove_all(root_);
  EXPECT_EQ(Count(), 1);
}

TEST_F(CpuQuotaTest, V2QuotaIsRoundedUp) {
  SetV2("/app");
  Write("sys/fs/cgroup/app/cpu.max", "150000 100000\n");
  EXPECT_EQ(Count(), 2);
  Write("sys/fs/cgroup/app/cpu.max", "400000 100000\n");
  EXPECT_EQ(Count(), 4);
  Write("sys/fs/cgroup/app/cpu.max", "1000 100000\n");
  EXPECT_EQ(Count(), 1);
}

TEST_F(CpuQuotaTest, V2MaxMeansNoQuota) {
  SetV2("/app");
  Write("sys/fs/cgroup/app/cpu.max", "max 100000\n");
  EXPECT_EQ(Count(), 16);
}

TEST_F(CpuQuotaTest, V2TightestLevelWins) {
  SetV2("/kube/pod/container");
  Write("sys/fs/cgroup/kube/pod/container/cpu.max", "max 100000\n");
  Write("sys/fs/cgroup/kube/pod/cpu.max", "300000 100000\n");
  Write("sys/fs/cgroup/kube/cpu.max", "800000 100000\n");
  EXPECT_EQ(Count(), 3);
  Write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(Count(), 2);
}

TEST_F(CpuQuotaTest, V2InItsOwnNamespaceReadsTheTop) {
  SetV2("/");
  Write("sys/fs/cgroup/cpu.max", "500000 100000\n");
  EXPECT_EQ(Count(), 5);
}

TEST_F(CpuQuotaTest, V2PathAboveTheNamespaceIsIgnored) {
  SetV2("/../other");
  Write("sys/fs/other/cpu.max", "100000 100000\n");
  Write("sys/fs/cgroup/cpu.max", "700000 100000\n");
  EXPECT_EQ(Count(), 7);
}

TEST_F(CpuQuotaTest, V2CpusetBoundsToo) {
  SetV2("/app");
  Write("sys/fs/cgroup/app/cpu.max", "800000 100000\n");
  Write("sys/fs/cgroup/app/cpuset.cpus.effective", "0-2,8,10-11\n");
  EXPECT_EQ(Count(), 6);
}

TEST_F(CpuQuotaTest, V1QuotaAndCpuset) {
  SetV1("/", "/docker/abc");
  Write("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "250000\n");
  Write("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Count(), 3);
  Write("sys/fs/cgroup/cpuset/docker/abc/cpuset.cpus", "4-5\n");
  EXPECT_EQ(Count(), 2);
}

TEST_F(CpuQuotaTest, V1MinusOneMeansNoQuota) {
  SetV1("/", "/docker/abc");
  Write("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "-1\n");
  Write("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Count(), 16);
}

TEST_F(CpuQuotaTest, V1MountThatShowsOnlyTheContainer) {
  SetV1("/docker/abc", "/docker/abc");
  Write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "600000\n");
  Write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(Count(), 6);
}

TEST_F(CpuQuotaTest, MalformedFilesBoundNothing) {
  SetV2("/app");
  for (const char* text : {"", "max", "abc def", "-5 100000", "100000 0", "99999999999999999999 1",
                           "100000 100000 100000", "\x00\xff"}) {
    Write("sys/fs/cgroup/app/cpu.max", text);
    EXPECT_EQ(Count(), 16) << text;
  }
  for (const char* text : {"", "a-b", "3-1", "-1", "0-99999999999", "1-2-3", "0,,1", "0-3x"}) {
    Write("sys/fs/cgroup/app/cpuset.cpus.effective", text);
    EXPECT_EQ(Count(), 16) << text;
  }
  Write("proc/self/cgroup", "garbage\n::\n0:\n\n7:cpu\n0::relative\n");
  Write("proc/self/mountinfo", "x - cgroup2\n - \n1 2 3\n");
  EXPECT_EQ(Count(), 16);
}

TEST(CpuQuotaRealTest, ThisProcessHasAtLeastOneAndNoMoreThanTheMachine) {
  const int count = AvailableCpuCount();
  EXPECT_GE(count, 1);
  EXPECT_LE(count, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace pixpool
