#include "server/gpu/gpu_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/base/log.h"
#include "tests/unit/gpu/fake_driver.h"

namespace pixpool {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;
using testing::SizeIs;

class GpuWatchTest : public testing::Test {
 protected:
  GpuWatchTest() { driver_.Reset(); }

  std::unique_ptr<GpuWatch> Watch() {
    return std::make_unique<GpuWatch>(GpuWatchOptions{.number = 1,
                                                      .pause = std::chrono::milliseconds(1),
                                                      .clock = &clock_,
                                                      .cuda_library = PIXPOOL_FAKE_DRIVER,
                                                      .nvml_library = PIXPOOL_FAKE_DRIVER});
  }

  // Once there is one.
  static GpuReadings Reading(const GpuWatch& watch) {
    for (;;) {
      if (const auto all = watch.Read(); !all.empty()) return all.front();
      std::this_thread::yield();
    }
  }

  FakeDriver& driver_ = TheDriver(PIXPOOL_FAKE_DRIVER);
  static inline FakeClock clock_;  // outlives a thread that is left to the driver
};

TEST_F(GpuWatchTest, ReadsAgainAndAgain) {
  const auto watch = Watch();
  const GpuReadings gpu = Reading(*watch);
  EXPECT_EQ(gpu.device, "cuda:1");
  EXPECT_EQ(gpu.uuid, "GPU-bb010203-0405-0607-0809-0a0b0c0d0e0f");
  EXPECT_THAT(gpu.memory_used, Optional(1'500));
  clock_.Advance(std::chrono::hours(1));
  Reading(*watch);
}

// Neither a scrape nor the end waits for a driver that hangs, and old figures are not told.
TEST_F(GpuWatchTest, ADriverThatHangsHoldsUpNothing) {
  StartLog(LogLevel::kInfo);
  testing::internal::CaptureStderr();
  auto watch = Watch();
  Reading(*watch);
  driver_.Hang(true);
  while (driver_.hanging == 0) std::this_thread::yield();
  EXPECT_THAT(watch->Read(), SizeIs(1));
  clock_.Advance(std::chrono::seconds(11));
  EXPECT_THAT(watch->Read(), IsEmpty());
  EXPECT_THAT(watch->Read(), IsEmpty());

  driver_.Hang(false);
  Reading(*watch);
  driver_.Hang(true);
  while (driver_.hanging == 0) std::this_thread::yield();
  watch.reset();
  driver_.Hang(false);
  while (driver_.shutdowns == 0) std::this_thread::yield();  // the thread has ended by itself
  StopLog();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("\"gpu_silent\",\"device\":\"cuda:1\""));
  EXPECT_THAT(log, HasSubstr("\"gpu_answers\""));
  EXPECT_EQ(log.find("gpu_silent"), log.rfind("gpu_silent")) << log;
}

TEST_F(GpuWatchTest, TheLogSaysOnceWhatIsMissing) {
  StartLog(LogLevel::kInfo);
  testing::internal::CaptureStderr();
  auto watch = Watch();
  Reading(*watch);
  driver_.power_error = 15;
  while (Reading(*watch).watts) std::this_thread::yield();
  EXPECT_THAT(Reading(*watch).memory_used, Optional(1'500));
  driver_.power_error = 0;
  while (!Reading(*watch).watts) std::this_thread::yield();
  watch.reset();
  StopLog();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("nvmlDeviceGetPowerUsage: GPU is lost; metrics of the GPU are"));
  EXPECT_EQ(log.find("gpu_unseen"), log.rfind("gpu_unseen")) << log;
  EXPECT_THAT(log, HasSubstr("\"gpu_seen_again\""));
}

TEST_F(GpuWatchTest, ALibraryThatDoesNotBeginIsTriedAgain) {
  driver_.errors = {{"nvmlInit_v2", 18}};
  StartLog(LogLevel::kInfo);
  testing::internal::CaptureStderr();
  auto watch = Watch();
  while (driver_.inits < 2) std::this_thread::yield();
  EXPECT_THAT(watch->Read(), IsEmpty());
  watch.reset();
  StopLog();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("nvmlInit_v2: Driver/library version mismatch"));
  EXPECT_EQ(log.find("gpu_unseen"), log.rfind("gpu_unseen")) << log;
}

TEST_F(GpuWatchTest, OnTheCpuNothingIsWatched) {
  EXPECT_EQ(WatchGpu("cpu"), nullptr);
  EXPECT_EQ(WatchGpu("cuda:x"), nullptr);
  EXPECT_NE(WatchGpu("cuda:0"), nullptr);  // where there is no driver, too
}

}  // namespace
}  // namespace pixpool
