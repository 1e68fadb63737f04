// Memory that runs out at each allocation of a request in turn: every request gets one answer, the
// server goes on, and the next request is served as ever.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/pipeline/pipeline.h"
#include "tests/integration/fake_model.h"
#include "tests/support/failing_allocator.h"
#include "tests/unit/image/fixtures.h"

namespace pixpool {
namespace {

using testing::FailAllocations;
using testing::StopFailing;

void Append(const HeadOutput& output, std::string* text) {
  for (const float value : output.values) absl::StrAppend(text, value, " ");
  for (const auto& score : output.scores)
    absl::StrAppend(text, score.class_index, ":", score.score);
  absl::StrAppend(text, output.png, output.box.left, ",", output.box.width, "\n");
}

// What a client would see, for comparison.
std::string Text(const ExtractResult& result) {
  std::string text(result.status.ToString());
  for (const ImageFeatures& image : result.images) {
    absl::StrAppend(&text, "\n", image.status.ToString(), "\n");
    for (const HeadOutput& output : image.outputs) Append(output, &text);
  }
  return text;
}

std::string Text(const PoolResult& result) {
  std::string text(result.status.ToString());
  for (const auto& map : result.maps) {
    for (const HeadOutput& output : map) Append(output, &text);
  }
  return text;
}

// OK, or an error that does not blame the client. libwebp is not to be held to that: it often says
// that the data is damaged, and takes no allocator.
bool IsHonest(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  if (status.ok() || !details) return status.ok();
  return details->reason == ErrorReason::kOverloaded ||
         details->reason == ErrorReason::kInferenceFailed ||
         (details->reason == ErrorReason::kImageUndecodable &&
          status.message().find("webp") != status.message().npos);
}

// Whether the answer is whole: it or one of its images failed, or all of it is right.
bool IsWhole(const ExtractResult& result, const std::string& right) {
  if (!result.status.ok()) return IsHonest(result.status);
  bool all = true;
  for (const ImageFeatures& image : result.images) {
    if (!IsHonest(image.status)) return false;
    all = all && image.status.ok();
  }
  return !all || Text(result) == right;
}

bool IsWhole(const PoolResult& result, const std::string& right) {
  return result.status.ok() ? Text(result) == right : IsHonest(result.status);
}

// The answers to one request.
template <typename Result>
class Answers {
 public:
  void Give(Result result) {
    absl::MutexLock lock(&mu_);
    ++count_;
    last_ = std::move(result);
  }
  // Waits for the first.
  bool Await() {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(
                                    +[](int* count) { return *count > 0; }, &count_),
                                absl::Seconds(20));
  }
  int count() {
    absl::MutexLock lock(&mu_);
    return count_;
  }
  Result Take() {
    absl::MutexLock lock(&mu_);
    return std::move(last_);
  }

 private:
  absl::Mutex mu_;
  int count_ = 0;
  Result last_;
};

class NoMemoryTest : public ::testing::TestWithParam<int> {
 protected:
  NoMemoryTest() {
    for (const std::string_view format : FormatNames()) {
      // Where its own malloc fails libtiff 4.5 reads through a null pointer, libavif 0.11 calls
      // abort, and libde265 1.0 throws out of a destructor (SECURITY.md).
      if (format == "tiff" || format == "avif" || format == "heic") continue;
      pictures_.push_back(testing::LoadSample(format).bytes);
    }
    raw_.assign(size_t{32} * 32 * 3, '\x40');
    Make();
  }

  void Make() {
    pipeline_.reset();
    PipelineOptions options;
    options.decode_threads = 1;
    pipeline_ = std::make_unique<Pipeline>(options, &fake_.registry, &metrics_, Clock::Real());
  }

  ExtractRequest Request(std::vector<HeadRequest> heads) const {
    ExtractRequest request;
    for (const std::string& picture : pictures_) request.images.push_back({.encoded = picture});
    request.images.push_back({.raw = raw_, .raw_width = 32, .raw_height = 32, .is_raw = true});
    request.heads = std::move(heads);
    request.context = std::make_shared<CallContext>(Clock::Real()->Now() + std::chrono::minutes(1));
    return request;
  }

  ExtractRequest SeveralHeads() const {
    return Request(
        {{.kind = "global_avg"},
         {.kind = "gem", .params = {{"p", 2.0}}, .l2_normalized = true},
         {.kind = "class_activation_map", .params = {{"format", std::string("png")}}},
         {.kind = "class_activation_map", .params = {{"format", std::string("png_overlay")}}}});
  }

  ExtractRequest SeveralPasses() const {
    ExtractRequest request = Request({{.kind = "global_avg"}});
    request.input.scales = {1.0, 1.5};
    request.input.flip = true;
    return request;
  }

  PoolRequest Tensor() const {
    PoolRequest request;
    request.shape = {2, 3, 4, 4};
    request.values = values_;
    request.heads = {{.kind = "global_avg"}, {.kind = "gem"}};
    request.context = std::make_shared<CallContext>(Clock::Real()->Now() + std::chrono::minutes(1));
    return request;
  }

  void Start(ExtractRequest request, Answers<ExtractResult>* answers) {
    pipeline_->Extract(std::move(request),
                       [answers](ExtractResult result) { answers->Give(std::move(result)); });
  }
  void Start(PoolRequest request, Answers<PoolResult>* answers) {
    pipeline_->Pool(std::move(request),
                    [answers](PoolResult result) { answers->Give(std::move(result)); });
  }

  // The answer where nothing fails.
  template <typename Result, typename Request>
  std::string Right(Request request) {
    Answers<Result> answers;
    Start(std::move(request), &answers);
    EXPECT_TRUE(answers.Await());
    return Text(answers.Take());
  }

  // Fails each allocation of the request in turn, with those that follow it. Under ThreadSanitizer,
  // which looks for other faults and takes ten times as long, every third.
  template <typename Result, typename Request>
  void FailEach(
      const std::function<Request()>& make, const std::function<void()>& before = [] {}) {
    const std::string right = Right<Result>(make());
    ASSERT_EQ(right.find("OK"), 0u) << right;
#ifdef __SANITIZE_THREAD__
    constexpr int kStep = 3;
#else
    constexpr int kStep = 1;
#endif
    int64_t number = 1;
    for (;; number += kStep) {
      SCOPED_TRACE(absl::StrCat("allocation ", number));
      before();
      Request request = make();
      Answers<Result> answers;
      FailAllocations(number, GetParam());
      Start(std::move(request), &answers);
      const bool answered = answers.Await();
      const int64_t failed = StopFailing();
      ASSERT_TRUE(answered) << "the request has no answer";
      {
        const Result result = answers.Take();
        ASSERT_TRUE(IsWhole(result, right)) << Text(result);
        ASSERT_TRUE(failed > 0 || Text(result) == right) << Text(result);
      }
      AwaitIdle();
      ASSERT_EQ(pipeline_->Gauges().requests_in_flight, 0);
      ASSERT_EQ(pipeline_->Gauges().pixels_in_flight, 0);
      ASSERT_EQ(Right<Result>(make()), right) << "the next request";
      ASSERT_EQ(answers.count(), 1) << "answered twice";
      if (failed == 0) break;
    }
    EXPECT_GT(number, 10) << "nothing was made to fail";
  }

  void AwaitIdle() {
    for (int i = 0; i < 5000 && pipeline_->Gauges().requests_in_flight > 0; ++i) {
      absl::SleepFor(absl::Milliseconds(1));
    }
  }

  std::vector<std::string> pictures_;
  std::string raw_;
  std::vector<float> values_ = std::vector<float>(96, 0.5f);
  Metrics metrics_;
  FakeRegistry fake_{&metrics_};
  std::unique_ptr<Pipeline> pipeline_;
};

TEST_P(NoMemoryTest, ForPicturesAndTheirHeads) {
  FailEach<ExtractResult, ExtractRequest>([this] { return SeveralHeads(); });
}

TEST_P(NoMemoryTest, ForSeveralPasses) {
  FailEach<ExtractResult, ExtractRequest>([this] { return SeveralPasses(); });
}

// Threads and batcher of the model are made by it.
TEST_P(NoMemoryTest, ForTheFirstRequest) {
  FailEach<ExtractResult, ExtractRequest>([this] { return Request({{.kind = "global_avg"}}); },
                                          [this] { Make(); });
}

TEST_P(NoMemoryTest, ForATensor) {
  FailEach<PoolResult, PoolRequest>([this] { return Tensor(); });
}

INSTANTIATE_TEST_SUITE_P(InARow, NoMemoryTest, ::testing::Values(1, 10));

}  // namespace
}  // namespace pixpool
