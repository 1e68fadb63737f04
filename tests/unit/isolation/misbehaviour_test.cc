// Decoders that do harm on purpose (tests/support/misbehaving_worker.cc): each fails its picture
// alone, is replaced and counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "server/base/error.h"
#include "server/isolation/decode_workers.h"
#include "tests/support/misbehaving_pictures.h"
#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using ::testing::HasSubstr;

struct Case {
  const char* misdeed;
  WorkerFailure cause;
  const char* words;  // in the message
  bool by_filter = false;
};

class MisbehaviourTest : public ::testing::TestWithParam<Case> {
 protected:
  MisbehaviourTest() : good_(testing::LoadSample("jpeg").bytes) {
    auto started =
        DecodeWorkers::Start({.program = PIXPOOL_MISBEHAVING_WORKER,
                              .count = 1,
                              .patience = std::chrono::milliseconds(500),
                              .failed = [this](WorkerFailure f) { causes_.push_back(f); }});
    EXPECT_TRUE(started.ok()) << started.status();
    if (started.ok()) workers_ = *std::move(started);
  }

  absl::StatusOr<PictureInputs> Make(const std::string& bytes) {
    PictureTask task{.bytes = bytes, .header = *ReadImageHeader(bytes, {})};
    return workers_->MakeInputs(task, *Clock::Real());
  }

  const std::string good_;
  std::vector<WorkerFailure> causes_;
  std::unique_ptr<DecodeWorkers> workers_;
};

TEST_P(MisbehaviourTest, FailsItsPictureAlone) {
  ASSERT_NE(workers_, nullptr);
  const Case& misdeed = GetParam();
  if (misdeed.by_filter && !workers_->filtered()) GTEST_SKIP() << workers_->refusal();
  const auto before = Make(good_);
  ASSERT_TRUE(before.ok()) << before.status();

  const absl::Status failed = Make(testing::AskFor(misdeed.misdeed, good_)).status();
  ASSERT_TRUE(GetErrorDetails(failed).has_value()) << failed;
  EXPECT_EQ(GetErrorDetails(failed)->reason, ErrorReason::kImageUndecodable);
  EXPECT_THAT(failed.message(), HasSubstr("jpeg image cannot be decoded: its decoder"));
  EXPECT_THAT(failed.message(), HasSubstr(misdeed.words));
  EXPECT_EQ(causes_, std::vector<WorkerFailure>{misdeed.cause});
  EXPECT_EQ(workers_->alive(), 1);

  const auto after = Make(good_);
  ASSERT_TRUE(after.ok()) << after.status();
  const Image& a = before->inputs[0];
  const Image& b = after->inputs[0];
  ASSERT_EQ(a.byte_size(), b.byte_size());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.byte_size()), 0);
  EXPECT_EQ(causes_.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(
    All, MisbehaviourTest,
    ::testing::Values(
        Case{"open", WorkerFailure::kForbiddenCall, "SIGSYS", true},
        Case{"connect", WorkerFailure::kForbiddenCall, "SIGSYS", true},
        Case{"exec", WorkerFailure::kForbiddenCall, "SIGSYS", true},
        Case{"fork", WorkerFailure::kForbiddenCall, "SIGSYS", true},
        Case{"signal", WorkerFailure::kForbiddenCall, "SIGSYS", true},
        Case{"code", WorkerFailure::kForbiddenCall, "SIGSYS", true},
        Case{"truncate", WorkerFailure::kForbiddenCall, "SIGSYS", true},
        Case{"write", WorkerFailure::kCrash, "SIGSEGV", true},  // sanitizers end with a code
        Case{"abort", WorkerFailure::kCrash, "SIGABRT"},
        Case{"exit", WorkerFailure::kCrash, "ended with code 0"},
        Case{"loop", WorkerFailure::kTime, "ms of a processor"},
        Case{"wait", WorkerFailure::kTime, "did not end within"},
        Case{"memory", WorkerFailure::kMemory, "MiB of memory", true},  // sanitizers have no bound
        Case{"reply", WorkerFailure::kReply, "is no answer"}),
    [](const auto& info) { return std::string(info.param.misdeed); });

// The picture itself is one like any other: in a decoder that does not listen to it, it decodes.
TEST_F(MisbehaviourTest, ThePicturesAreGood) {
  const std::string bytes = testing::AskFor("open", good_);
  const PictureTask task{.bytes = bytes, .header = *ReadImageHeader(bytes, {})};
  EXPECT_TRUE(MakeInputs(task, *Clock::Real()).ok());
  EXPECT_TRUE(Make(testing::AskFor("nothing", good_)).ok());
}

}  // namespace
}  // namespace pixpool
