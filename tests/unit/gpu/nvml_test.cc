#include "server/gpu/nvml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/gpu/cuda_number.h"
#include "tests/unit/gpu/fake_driver.h"

namespace pixpool {
namespace {

using testing::HasSubstr;
using testing::Optional;

constexpr char kFirst[] = "GPU-aa010203-0405-0607-0809-0a0b0c0d0e0f";
constexpr char kSecond[] = "GPU-bb010203-0405-0607-0809-0a0b0c0d0e0f";

class NvmlTest : public testing::Test {
 protected:
  NvmlTest() { driver_.Reset(); }

  // What is read of the GPU that CUDA has as `number`.
  absl::StatusOr<GpuReadings> Read(int number, const char* library = PIXPOOL_FAKE_DRIVER) {
    const auto gpu = IdentifyGpu(library, number);
    if (!gpu.ok()) return gpu.status();
    const auto nvml = Nvml::Open(library, *gpu);
    if (!nvml.ok()) return nvml.status();
    GpuReadings out;
    status_ = (*nvml)->Read(&out);
    return out;
  }

  FakeDriver& driver_ = TheDriver(PIXPOOL_FAKE_DRIVER);
  absl::Status status_;
};

TEST_F(NvmlTest, TellsAllFigures) {
  const auto gpu = Read(1);
  ASSERT_TRUE(gpu.ok()) << gpu.status();
  EXPECT_TRUE(status_.ok()) << status_;
  EXPECT_EQ(gpu->uuid, kSecond);
  EXPECT_THAT(gpu->memory_used, Optional(1'500));
  EXPECT_THAT(gpu->memory_total, Optional(2'000));
  EXPECT_THAT(gpu->utilization, Optional(0.93));
  EXPECT_THAT(gpu->celsius, Optional(71));
  EXPECT_THAT(gpu->watts, Optional(312.5));
  EXPECT_EQ(driver_.shutdowns, 1);
}

// CUDA_VISIBLE_DEVICES=1, or 1,0, or an order by speed: CUDA's numbers are not NVML's.
TEST_F(NvmlTest, TakesTheGpuThatCudaHasUnderTheNumber) {
  driver_.visible = {1};
  auto gpu = Read(0);
  ASSERT_TRUE(gpu.ok()) << gpu.status();
  EXPECT_EQ(gpu->uuid, kSecond);
  driver_.visible = {1, 0};
  gpu = Read(1);
  ASSERT_TRUE(gpu.ok()) << gpu.status();
  EXPECT_EQ(gpu->uuid, kFirst);
  driver_.cuda_tells_uuid = false;  // then by its place on the bus
  gpu = Read(0);
  ASSERT_TRUE(gpu.ok()) << gpu.status();
  EXPECT_EQ(gpu->uuid, kSecond);
  EXPECT_THAT(gpu->memory_total, Optional(2'000));
}

TEST_F(NvmlTest, APartOfAGpuHasItsMemoryAndNoUse) {
  driver_.gpus[0].nvml_uuid = "MIG-aa010203-0405-0607-0809-0a0b0c0d0e0f";
  driver_.errors = {{"nvmlDeviceGetUtilizationRates", 3}, {"nvmlDeviceGetTemperature", 2}};
  const auto gpu = Read(0);
  ASSERT_TRUE(gpu.ok()) << gpu.status();
  EXPECT_TRUE(status_.ok()) << status_;
  EXPECT_EQ(gpu->uuid, "MIG-aa010203-0405-0607-0809-0a0b0c0d0e0f");
  EXPECT_THAT(gpu->memory_used, Optional(100));
  EXPECT_EQ(gpu->utilization, std::nullopt);
  EXPECT_EQ(gpu->celsius, std::nullopt);
}

TEST_F(NvmlTest, OneErrorKeepsTheOtherFigures) {
  driver_.errors = {{"nvmlDeviceGetUtilizationRates", 15}};
  const auto gpu = Read(0);
  ASSERT_TRUE(gpu.ok()) << gpu.status();
  EXPECT_EQ(status_.message(), "nvmlDeviceGetUtilizationRates: GPU is lost");
  EXPECT_EQ(gpu->utilization, std::nullopt);
  EXPECT_THAT(gpu->memory_used, Optional(100));
  EXPECT_THAT(gpu->watts, Optional(70));
}

TEST_F(NvmlTest, AFunctionThatAnOldDriverLacksIsOneFigureLess) {
  TheDriver(PIXPOOL_FAKE_OLD_DRIVER).Reset();
  const auto gpu = Read(0, PIXPOOL_FAKE_OLD_DRIVER);
  ASSERT_TRUE(gpu.ok()) << gpu.status();
  EXPECT_TRUE(status_.ok()) << status_;
  EXPECT_EQ(gpu->watts, std::nullopt);
  EXPECT_THAT(gpu->celsius, Optional(40));
}

TEST_F(NvmlTest, SaysWhatDoesNotWork) {
  EXPECT_THAT(std::string(Read(0, "libno-such-driver.so.1").status().message()),
              HasSubstr("libno-such-driver.so.1"));
  EXPECT_EQ(Read(2).status().message(), "cuDeviceGet gives the error 101 of CUDA");
  driver_.errors = {{"nvmlInit_v2", 18}};
  EXPECT_EQ(Read(0).status().message(), "nvmlInit_v2: Driver/library version mismatch");
  EXPECT_EQ(driver_.shutdowns, 0);
  driver_.errors.clear();
  driver_.gpus[1].nvml_uuid = "GPU-of-another-machine";
  driver_.gpus[1].bus.clear();
  EXPECT_EQ(Read(1).status().message(), "nvmlDeviceGetHandleByUUID: Other");
  EXPECT_EQ(driver_.shutdowns, 1);
  const auto no_nvml = Nvml::Open("libm.so.6", {});
  EXPECT_EQ(no_nvml.status().message(), "libm.so.6 has no nvmlInit_v2");
}

}  // namespace
}  // namespace pixpool
