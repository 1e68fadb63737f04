// Workers at their work: what comes of a picture is what comes of it in the server.
#include "server/isolation/decode_workers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "server/base/error.h"
#include "server/isolation/sanitized.h"
#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::Fixture;
using ::testing::HasSubstr;

std::unique_ptr<DecodeWorkers> StartWorkers(int count) {
  auto workers = DecodeWorkers::Start({.program = PIXPOOL_WORKER, .count = count});
  EXPECT_TRUE(workers.ok()) << workers.status();
  return workers.ok() ? *std::move(workers) : nullptr;
}

// Processes whose parent is this one, by the last part of their program's name.
std::vector<int> Children() {
  std::vector<int> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(entry.path() / "children");
    for (int pid = 0; file >> pid;) pids.push_back(pid);
  }
  return pids;
}

bool SamePixels(const Image& a, const Image& b) {
  return a.width() == b.width() && a.height() == b.height() && a.empty() == b.empty() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.byte_size()) == 0);
}

std::string DamagesOf(const PictureInputs& made) {
  std::string text;
  for (const Damage& damage : made.damages) {
    text += std::string(DamageKindName(damage.kind)) + ":" + damage.detail + ",";
  }
  return text;
}

void ExpectSame(const absl::StatusOr<PictureInputs>& here,
                const absl::StatusOr<PictureInputs>& there, const std::string& name) {
  ASSERT_EQ(here.status(), there.status()) << name;
  if (!here.ok()) return;
  ASSERT_EQ(here->inputs.size(), there->inputs.size()) << name;
  for (size_t i = 0; i < here->inputs.size(); ++i) {
    EXPECT_TRUE(SamePixels(here->inputs[i], there->inputs[i])) << name << ", pass " << i;
  }
  EXPECT_TRUE(SamePixels(here->picture, there->picture)) << name;
  EXPECT_EQ(DamagesOf(*here), DamagesOf(*there)) << name;
}

// Every picture of the tests, good, damaged and broken, with all that a plan may ask for.
TEST(DecodeWorkersTest, GiveTheSameAnswers) {
  const auto workers = StartWorkers(1);
  ASSERT_NE(workers, nullptr);
  EXPECT_EQ(workers->filtered(), !kSanitized) << workers->refusal();
  int decoded = 0;
  int refused = 0;
  for (const Fixture& fixture : testing::LoadFixtures("")) {
    const auto header = ReadImageHeader(fixture.bytes, {.max_side = 65'500});
    if (!header.ok()) continue;
    for (const bool all : {false, true}) {
      PictureTask task{.bytes = fixture.bytes, .header = *header};
      task.plan.apply_exif = fixture.options.apply_exif;
      task.plan.background = fixture.options.background;
      task.keep_picture = all;
      task.refuse_damaged = all;
      task.plan.flip = all;
      task.plan.scaled_decode = all;
      if (all) task.plan.scales = {0.5, 1};
      const auto here = MakeInputs(task, *Clock::Real());
      ExpectSame(here, workers->MakeInputs(task, *Clock::Real()), fixture.name);
      ++(here.ok() ? decoded : refused);
    }
  }
  EXPECT_GT(decoded, 100);
  EXPECT_GT(refused, 30);
}

TEST(DecodeWorkersTest, WorkAtTheSameTime) {
  const auto workers = StartWorkers(3);
  ASSERT_NE(workers, nullptr);
  std::vector<std::thread> threads;
  for (const std::string_view format : FormatNames()) {
    threads.emplace_back([&workers, bytes = testing::LoadSample(format).bytes] {
      const auto header = ReadImageHeader(bytes, {});
      ASSERT_TRUE(header.ok());
      const PictureTask task{.bytes = bytes, .header = *header};
      const auto here = MakeInputs(task, *Clock::Real());
      for (int i = 0; i < 50; ++i) {
        ExpectSame(here, workers->MakeInputs(task, *Clock::Real()), "");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(workers->alive(), 3);
  EXPECT_GT(workers->ResidentBytes(), 0);
}

TEST(DecodeWorkersTest, LargeInputsComeWhole) {
  const auto workers = StartWorkers(1);
  ASSERT_NE(workers, nullptr);
  const std::string bytes = testing::LoadSample("jpeg").bytes;
  PictureTask task{.bytes = bytes, .header = *ReadImageHeader(bytes, {})};
  for (const int side : {64, 2048, 64, 3000, 64}) {
    task.plan.height = task.plan.width = task.plan.resize_size = side;
    ExpectSame(MakeInputs(task, *Clock::Real()), workers->MakeInputs(task, *Clock::Real()), "");
  }
}

TEST(DecodeWorkersTest, GoWithTheirServer) {
  auto workers = StartWorkers(2);
  ASSERT_NE(workers, nullptr);
  EXPECT_EQ(Children().size(), 2u);
  workers.reset();
  EXPECT_EQ(Children().size(), 0u);
}

// The kernel takes memory from whoever is there, a person may end what looks odd.
TEST(DecodeWorkersTest, OneThatWasKilledWhileIdleCostsNoPicture) {
  std::vector<WorkerFailure> failures;
  auto workers =
      DecodeWorkers::Start({.program = PIXPOOL_WORKER, .count = 1, .failed = [&](WorkerFailure f) {
                              failures.push_back(f);
                            }});
  ASSERT_TRUE(workers.ok()) << workers.status();
  const std::string bytes = testing::LoadSample("jpeg").bytes;
  const PictureTask task{.bytes = bytes, .header = *ReadImageHeader(bytes, {})};
  for (int i = 0; i < 3; ++i) {
    const std::vector<int> children = Children();
    ASSERT_EQ(children.size(), 1u);
    kill(children[0], SIGKILL);
    siginfo_t info = {};
    waitid(P_PID, static_cast<id_t>(children[0]), &info, WEXITED | WNOWAIT);
    EXPECT_TRUE((*workers)->MakeInputs(task, *Clock::Real()).ok());
  }
  EXPECT_EQ(failures, std::vector<WorkerFailure>(3, WorkerFailure::kKilled));
  EXPECT_EQ((*workers)->alive(), 1);
}

TEST(DecodeWorkersTest, SaysWhatCannotBeStarted) {
  const auto none = DecodeWorkers::Start({.program = "/nowhere/pixpool-decode-worker"});
  EXPECT_EQ(none.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(none.status().message(), HasSubstr("/nowhere/pixpool-decode-worker: No such file"));
  const auto other = DecodeWorkers::Start({.program = "/bin/true"});
  EXPECT_EQ(other.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(other.status().message(), HasSubstr("ended with code 0"));
}

}  // namespace
}  // namespace pixpool
