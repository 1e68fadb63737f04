// Pictures whose decoders do harm, among others, in one pipeline: the neighbours' answers stay bit
// for bit those of a server that decodes by itself, and all is served as before afterwards.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "server/isolation/decode_workers.h"
#include "server/pipeline/pipeline.h"
#include "tests/integration/fake_model.h"
#include "tests/support/misbehaving_pictures.h"
#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

constexpr int kThreads = 3;
constexpr int kRounds = 4;

// Those that need no filter of system calls to be found out come first.
const std::vector<std::string> kAlways = {"abort", "exit", "loop", "reply"};
const std::vector<std::string> kFiltered = {"open",   "connect", "exec",  "fork",
                                            "signal", "code",    "write", "memory"};

std::string Text(const ImageFeatures& image) {
  std::string text = image.status.ToString();
  for (const HeadOutput& output : image.outputs) {
    for (const float value : output.values) absl::StrAppend(&text, " ", value);
    absl::StrAppend(&text, " ", output.png.size(), " ", std::hash<std::string>()(output.png));
  }
  return text;
}

struct Call {
  ExtractResult result;
  absl::Notification done;
};

class IsolationTest : public ::testing::Test {
 protected:
  IsolationTest() : jpeg_(testing::LoadSample("jpeg").bytes) {
    for (const std::string_view format : FormatNames()) {
      good_.push_back(testing::LoadSample(format).bytes);
    }
    auto started = DecodeWorkers::Start({.program = PIXPOOL_MISBEHAVING_WORKER,
                                         .count = kThreads,
                                         .patience = std::chrono::milliseconds(500),
                                         .failed = [this](WorkerFailure) { ++failures_; }});
    EXPECT_TRUE(started.ok()) << started.status();
    if (started.ok()) workers_ = *std::move(started);
  }

  std::unique_ptr<Pipeline> Make(DecodeWorkers* workers) {
    PipelineOptions options;
    options.decode_threads = kThreads;
    return std::make_unique<Pipeline>(options, &fake_.registry, &metrics_, Clock::Real(), workers);
  }

  std::unique_ptr<Call> Send(Pipeline* pipeline, const std::vector<std::string>& pictures) {
    ExtractRequest request;
    for (const std::string& picture : pictures) request.images.push_back({.encoded = picture});
    request.heads = {
        {.kind = "gem"},
        {.kind = "class_activation_map", .params = {{"format", std::string("png_overlay")}}}};
    request.context = std::make_shared<CallContext>(Clock::Real()->Now() + std::chrono::minutes(1));
    auto call = std::make_unique<Call>();
    pipeline->Extract(std::move(request), [call = call.get()](ExtractResult result) {
      call->result = std::move(result);
      call->result.permit.Release();
      call->done.Notify();
    });
    return call;
  }

  std::string jpeg_;
  std::vector<std::string> good_;
  std::atomic<int> failures_ = 0;
  Metrics metrics_;
  FakeRegistry fake_{&metrics_};
  std::unique_ptr<DecodeWorkers> workers_;
};

TEST_F(IsolationTest, NeighboursGetTheirAnswersBitForBit) {
  ASSERT_NE(workers_, nullptr);
  std::vector<std::string> right;
  {
    const auto alone = Make(nullptr);
    const auto call = Send(alone.get(), good_);
    call->done.WaitForNotification();
    for (const ImageFeatures& image : call->result.images) right.push_back(Text(image));
    ASSERT_EQ(right.size(), good_.size());
    EXPECT_TRUE(call->result.images[0].status.ok()) << call->result.images[0].status;
  }

  std::vector<std::string> misdeeds = kAlways;
  if (workers_->filtered()) misdeeds.insert(misdeeds.end(), kFiltered.begin(), kFiltered.end());
  const auto pipeline = Make(workers_.get());
  std::vector<std::vector<std::string>> sent;  // outlives the calls
  for (int round = 0; round < kRounds; ++round) {
    for (const std::string& misdeed : misdeeds) {
      std::vector<std::string>& pictures = sent.emplace_back(good_);
      // In the same request, so that its pictures are decoded at the same time.
      pictures.push_back(testing::AskFor(misdeed, jpeg_));
    }
  }
  std::vector<std::unique_ptr<Call>> calls;
  for (const auto& pictures : sent) calls.push_back(Send(pipeline.get(), pictures));
  for (const auto& call : calls) {
    call->done.WaitForNotification();
    ASSERT_TRUE(call->result.status.ok()) << call->result.status;
    ASSERT_EQ(call->result.images.size(), good_.size() + 1);
    for (size_t i = 0; i < good_.size(); ++i) EXPECT_EQ(Text(call->result.images[i]), right[i]);
    const auto details = GetErrorDetails(call->result.images.back().status);
    ASSERT_TRUE(details.has_value()) << call->result.images.back().status;
    EXPECT_EQ(details->reason, ErrorReason::kImageUndecodable);
    EXPECT_EQ(details->field, absl::StrCat("images[", good_.size(), "]"));
  }
  EXPECT_EQ(failures_, static_cast<int>(calls.size()));
  EXPECT_EQ(workers_->alive(), kThreads);
  EXPECT_EQ(pipeline->Gauges().requests_in_flight, 0);
}

}  // namespace
}  // namespace pixpool
