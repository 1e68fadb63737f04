// The pipeline with a response cache, over a fake backbone that is held and counts its passes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <numeric>
#include <random>
#include <thread>

#include "absl/synchronization/notification.h"
#include "server/base/text.h"
#include "server/pipeline/pipeline.h"
#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

using ::testing::HasSubstr;

constexpr int kSide = 32;

// A call over pictures of one size, each of one level of grey, and its result.
struct Call {
  std::deque<std::string> pictures;
  ExtractRequest request;
  ExtractResult result;
  absl::Notification done;

  explicit Call(std::initializer_list<char> levels = {}) {
    for (const char level : levels) Add(level);
  }
  void Add(char level) {
    pictures.emplace_back(static_cast<size_t>(kSide * kSide * 3), level);
    request.images.push_back(
        {.raw = pictures.back(), .raw_width = kSide, .raw_height = kSide, .is_raw = true});
  }
  // After the call.
  const ImageFeatures& image(size_t i = 0) const { return result.images.at(i); }
};

class ResponseCacheTest : public ::testing::Test {
 protected:
  void Make(PipelineOptions options = {}, int64_t bytes = 1 << 20) {
    options.response_cache.max_bytes = bytes;
    options.decode_threads = 2;
    fake_ = std::make_unique<FakeRegistry>(&metrics_);
    pipeline_ = std::make_unique<Pipeline>(options, &fake_->registry, &metrics_, &clock_);
  }

  void TearDown() override {
    if (fake_) fake_->model->Release();
    if (pipeline_) {
      EXPECT_TRUE(pipeline_->Drain(absl::Seconds(60)));
    }
  }

  std::shared_ptr<CallContext> Context(const std::string& caller = "",
                                       Priority priority = Priority::kInteractive,
                                       TimeDuration left = std::chrono::seconds(60)) {
    return std::make_shared<CallContext>(clock_.Now() + left, priority, caller);
  }

  void Start(Call* call) {
    if (!call->request.context) call->request.context = Context();
    pipeline_->Extract(call->request, [call](ExtractResult result) {
      call->result = std::move(result);
      call->result.permit.Release();  // as when the answer has been written
      call->done.Notify();
    });
  }

  void Run(Call* call) {
    Start(call);
    call->done.WaitForNotification();
  }

  // Images that went through the backbone.
  int passes() const {
    const std::vector<int> sizes = fake_->model->batch_sizes();
    return std::accumulate(sizes.begin(), sizes.end(), 0);
  }

  // Starts a call whose pass is held, so that what comes later waits.
  void Block(Call* call) {
    fake_->model->Hold();
    const size_t before = fake_->model->batch_sizes().size();
    Start(call);
    fake_->model->AwaitBatches(before + 1);
  }

  double Uses(const char* outcome) {
    const std::string name = Concat("pixpool_response_cache_images_total{model=\"fake\",outcome=\"",
                                    outcome, "\",version=\"1\"} ");
    const std::string scrape = metrics_.Scrape();
    const size_t at = scrape.find(name);
    EXPECT_NE(at, std::string::npos) << name;
    return at == std::string::npos ? -1 : std::stod(scrape.substr(at + name.size()));
  }

  void ExpectUses(double hit, double shared, double miss) {
    EXPECT_EQ(Uses("hit"), hit);
    EXPECT_EQ(Uses("shared"), shared);
    EXPECT_EQ(Uses("miss"), miss);
  }

  FakeClock clock_;
  Metrics metrics_;
  std::unique_ptr<FakeRegistry> fake_;
  std::unique_ptr<Pipeline> pipeline_;
};

void ExpectSameValues(const ImageFeatures& a, const ImageFeatures& b) {
  ASSERT_TRUE(a.status.ok()) << a.status;
  ASSERT_TRUE(b.status.ok()) << b.status;
  ASSERT_EQ(a.outputs.size(), b.outputs.size());
  for (size_t h = 0; h < a.outputs.size(); ++h) {
    EXPECT_EQ(a.outputs[h].shape, b.outputs[h].shape);
    EXPECT_EQ(a.outputs[h].values, b.outputs[h].values);
  }
}

TEST_F(ResponseCacheTest, OffEveryImageIsWorkedOn) {
  Make({}, 0);
  Call first{'a'}, second{'a'};
  Run(&first);
  Run(&second);
  EXPECT_FALSE(second.image().cached);
  EXPECT_EQ(passes(), 2);
  ExpectUses(0, 0, 0);
  EXPECT_EQ(pipeline_->Gauges().cache_capacity, 0);
}

TEST_F(ResponseCacheTest, TheSameImageIsWorkedOnOnce) {
  Make();
  Call first{'a'}, same{'a'}, other{'b', 'a'};
  Run(&first);
  EXPECT_FALSE(first.image().cached);
  Run(&same);
  EXPECT_TRUE(same.image().cached);
  ExpectSameValues(same.image(), first.image());
  EXPECT_EQ(same.image().times, StageDurations{});
  EXPECT_EQ(passes(), 1);
  Run(&other);
  EXPECT_FALSE(other.image(0).cached);
  EXPECT_TRUE(other.image(1).cached);
  ExpectSameValues(other.image(1), first.image());
  EXPECT_EQ(passes(), 2);
  ExpectUses(2, 0, 2);
  const Readings readings = pipeline_->Gauges();
  EXPECT_EQ(readings.cached_answers, 2);
  EXPECT_GT(readings.cache_bytes, 0);
  EXPECT_EQ(readings.cache_capacity, 1 << 20);
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("pixpool_images_total{model=\"fake\",outcome=\"ok\","
                                           "reason=\"none\",version=\"1\"} 4\n"));
}

TEST_F(ResponseCacheTest, ImagesThatComeTogetherShareOnePass) {
  Make();
  fake_->model->Hold();
  std::deque<Call> calls;
  for (int i = 0; i < 5; ++i) Start(&calls.emplace_back(std::initializer_list<char>{'a'}));
  fake_->model->AwaitBatches(1);
  for (Call& call : calls) EXPECT_FALSE(call.done.HasBeenNotified());
  fake_->model->Release();
  for (Call& call : calls) call.done.WaitForNotification();
  EXPECT_EQ(passes(), 1);
  for (size_t i = 0; i < calls.size(); ++i) {
    ExpectSameValues(calls[i].image(), calls[0].image());
    EXPECT_EQ(calls[i].image().cached, i > 0);
  }
  ExpectUses(0, 4, 1);
}

TEST_F(ResponseCacheTest, ImagesOfOneCallShareToo) {
  Make();
  Call call{'a', 'b', 'a', 'a', 'b'};
  Run(&call);
  ASSERT_TRUE(call.result.status.ok()) << call.result.status;
  EXPECT_EQ(passes(), 2);
  ExpectSameValues(call.image(2), call.image(0));
  ExpectSameValues(call.image(4), call.image(1));
}

TEST_F(ResponseCacheTest, ACancelledLeaderHandsOver) {
  Make();
  Call blocker{'x'}, leader{'a'}, next{'a'}, last{'a'};
  Block(&blocker);
  for (Call* call : {&leader, &next, &last}) Start(call);
  leader.request.context->Cancel();
  fake_->model->Release();
  for (Call* call : {&blocker, &leader, &next, &last}) call->done.WaitForNotification();
  EXPECT_TRUE(absl::IsCancelled(leader.result.status)) << leader.result.status;
  ExpectSameValues(next.image(), last.image());
  EXPECT_FALSE(next.image().cached);
  EXPECT_TRUE(last.image().cached);
  EXPECT_EQ(passes(), 2) << "the blocker's and one for both";
}

TEST_F(ResponseCacheTest, ALeaderOutOfTimeHandsOverToOneThatHasSome) {
  Make();
  Call blocker{'x'}, leader{'a'}, late{'a'}, patient{'a'};
  leader.request.context = Context("", Priority::kInteractive, std::chrono::seconds(1));
  late.request.context = Context("", Priority::kInteractive, std::chrono::seconds(2));
  Block(&blocker);
  for (Call* call : {&leader, &late, &patient}) Start(call);
  clock_.Advance(std::chrono::seconds(5));
  fake_->model->Release();
  for (Call* call : {&blocker, &leader, &late, &patient}) call->done.WaitForNotification();
  EXPECT_TRUE(absl::IsDeadlineExceeded(leader.result.status));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.result.status));
  EXPECT_TRUE(patient.image().status.ok());
  EXPECT_EQ(passes(), 2);
}

TEST_F(ResponseCacheTest, AFollowerHasItsOwnDeadlineAndCancellation) {
  Make();
  Call leader{'a'}, late{'a'}, gone{'a'}, patient{'a'};
  late.request.context = Context("", Priority::kInteractive, std::chrono::seconds(1));
  Block(&leader);
  for (Call* call : {&late, &gone, &patient}) Start(call);
  gone.request.context->Cancel();
  clock_.Advance(std::chrono::seconds(2));
  fake_->model->Release();
  for (Call* call : {&leader, &late, &gone, &patient}) call->done.WaitForNotification();
  EXPECT_TRUE(leader.image().status.ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.result.status));
  EXPECT_TRUE(absl::IsCancelled(gone.result.status));
  ExpectSameValues(patient.image(), leader.image());
  EXPECT_EQ(passes(), 1);
}

TEST_F(ResponseCacheTest, AFaultOfTheServerIsNeitherKeptNorShared) {
  Make();
  fake_->model->SetFailing(true);
  Call leader{'a'}, next{'a'};
  Block(&leader);
  Start(&next);
  fake_->model->Release();
  leader.done.WaitForNotification();
  next.done.WaitForNotification();
  EXPECT_TRUE(absl::IsInternal(leader.result.status));
  EXPECT_TRUE(absl::IsInternal(next.result.status));
  EXPECT_EQ(passes(), 2) << "each has its own try";
  fake_->model->SetFailing(false);
  Call after{'a'};
  Run(&after);
  EXPECT_TRUE(after.image().status.ok());
  EXPECT_FALSE(after.image().cached);
}

TEST_F(ResponseCacheTest, APictureThatCannotBeDecodedFailsForAllWhoWaitAndIsNotKept) {
  PipelineOptions options;
  options.max_batch_size = 1;
  Make(options);
  // A PNG whose pixels are missing.
  const char header[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0\x3a\x7e\x9b\x55";
  const std::string broken(header, sizeof(header) - 1);
  Call call{'a'};
  call.request.images.push_back({.encoded = broken});
  call.request.images.push_back({.encoded = broken});
  call.request.input.resize = ResizeMode::kExact;
  Run(&call);
  EXPECT_TRUE(call.image(0).status.ok());
  for (const size_t i : {1u, 2u}) {
    const auto details = GetErrorDetails(call.image(i).status);
    ASSERT_TRUE(details);
    EXPECT_EQ(details->reason, ErrorReason::kImageUndecodable);
    EXPECT_EQ(details->field, Concat("images[", i, "]")) << "its own place";
  }
  EXPECT_EQ(pipeline_->Gauges().cached_answers, 1);
}

TEST_F(ResponseCacheTest, CallersHaveTheirOwnAnswersUnlessTold) {
  for (const bool shared : {false, true}) {
    PipelineOptions options;
    options.response_cache.shared = shared;
    Make(options);
    Call mine{'a'}, theirs{'a'}, again{'a'};
    mine.request.context = Context("@me");
    again.request.context = Context("@me");
    theirs.request.context = Context("@them");
    Run(&mine);
    Run(&theirs);
    Run(&again);
    EXPECT_EQ(theirs.image().cached, shared);
    EXPECT_TRUE(again.image().cached);
  }
}

TEST_F(ResponseCacheTest, NobodyWaitsForTheTurnOfAnotherCallerOrOfBulkWork) {
  PipelineOptions options;
  options.response_cache.shared = true;
  options.max_batch_size = 1;
  Make(options);
  Call blocker{'x'}, bulk{'a'}, mine{'a'}, theirs{'a'};
  bulk.request.context = Context("@me", Priority::kBulk);
  mine.request.context = Context("@me");
  theirs.request.context = Context("@them");
  Block(&blocker);
  for (Call* call : {&bulk, &mine, &theirs}) Start(call);
  bulk.request.context->Cancel();
  fake_->model->Release();
  for (Call* call : {&blocker, &bulk, &mine, &theirs}) call->done.WaitForNotification();
  EXPECT_TRUE(absl::IsCancelled(bulk.result.status));
  ExpectSameValues(mine.image(), theirs.image());
}

TEST_F(ResponseCacheTest, AnAnswerThatCameMeanwhileIsTakenWhenTheTurnComes) {
  PipelineOptions options;
  options.response_cache.shared = true;
  options.max_batch_size = 1;
  Make(options);
  Call blocker{'x'};
  Block(&blocker);
  // More than are decoded ahead; each caller leads, since none waits for another.
  std::deque<Call> calls;
  for (int i = 0; i < 12; ++i) {
    Call& call = calls.emplace_back(std::initializer_list<char>{'a'});
    call.request.context = Context(Concat("@", i));
    Start(&call);
  }
  fake_->model->Release();
  blocker.done.WaitForNotification();
  for (Call& call : calls) {
    call.done.WaitForNotification();
    ExpectSameValues(call.image(), calls[0].image());
  }
  EXPECT_LT(passes(), 13) << "those who waited longest found the answer of the first";
}

TEST_F(ResponseCacheTest, AVersionThatIsLoadedAnewHasItsOwnAnswers) {
  Make();
  Call before{'a'}, after{'a'}, again{'a'};
  Run(&before);
  EXPECT_EQ(pipeline_->Gauges().cached_answers, 1);
  const std::shared_ptr<Model> old = fake_->registry.List()[0].loaded->model;
  auto fresh = std::make_shared<FakeModel>();
  fake_->registry.SetReady("fake", "1", fresh);
  Run(&after);
  EXPECT_FALSE(after.image().cached);
  EXPECT_EQ(fresh->batch_sizes().size(), 1u);
  before.result = ExtractResult();
  while (!pipeline_->Forget(*old)) std::this_thread::yield();
  EXPECT_EQ(pipeline_->Gauges().cached_answers, 1) << "those of the old one are dropped";
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr("pixpool_response_cache_evictions_total{reason=\"model\"} 1\n"));
  Run(&again);
  EXPECT_TRUE(again.image().cached);
  after.result = ExtractResult();
  again.result = ExtractResult();
  fake_->model = fresh.get();
}

TEST_F(ResponseCacheTest, AHitTakesNoPlaceOfWorkButItsBytesCount) {
  PipelineOptions options;
  options.admission.max_pixels = 3 * kSide * kSide / 2;
  Make(options);
  Call first{'a'}, blocker{'x'}, hit{'a'}, follower{'x'}, miss{'b'};
  Run(&first);
  Block(&blocker);
  Run(&hit);
  EXPECT_TRUE(hit.image().cached) << "though all pixels are taken";
  Start(&follower);
  EXPECT_FALSE(follower.done.HasBeenNotified()) << "it waits, and takes no pixels either";
  const Readings readings = pipeline_->Gauges();
  EXPECT_EQ(readings.pixels_in_flight, kSide * kSide);
  EXPECT_EQ(readings.requests_in_flight, 2);
  EXPECT_EQ(readings.bytes_in_flight, 2 * (kSide * kSide * 3 + 8 * 4));
  Run(&miss);
  EXPECT_TRUE(absl::IsUnavailable(miss.result.status));
  fake_->model->Release();
  blocker.done.WaitForNotification();
  follower.done.WaitForNotification();
  EXPECT_TRUE(follower.image().cached);
}

TEST_F(ResponseCacheTest, AHitCountsAgainstTheRateOfItsToken) {
  Make();
  const auto terms =
      std::make_shared<const CallerTerms>(CallerTerms{.token = "t", .images_per_second = 2});
  for (int i = 0; i < 3; ++i) {
    Call call{'a'};
    call.request.context = std::make_shared<CallContext>(clock_.Now() + std::chrono::seconds(9),
                                                         Priority::kInteractive, "@t", terms);
    Run(&call);
    if (i < 2) {
      EXPECT_EQ(call.image().cached, i == 1);
    } else {
      EXPECT_EQ(GetErrorDetails(call.result.status)->reason, ErrorReason::kQuotaExceeded);
    }
  }
}

TEST_F(ResponseCacheTest, RegionsAndPassesComeBackWhole) {
  Make();
  const auto ask = [](Call* call, const std::string& id) {
    call->request.heads = {{.kind = "gem"}, {.kind = "global_max"}};
    call->request.images[0].regions = {{.id = id, .box = {0, 0, 16, 16}},
                                       {.id = id, .box = {4, 4, 32, 32}}};
    call->request.regions.include_image = true;
  };
  Call first{'a'}, same{'a'};
  ask(&first, "first");
  ask(&same, "same");
  Run(&first);
  Run(&same);
  EXPECT_TRUE(same.image().cached);
  ExpectSameValues(same.image(), first.image());
  ASSERT_EQ(same.image().regions.size(), 2u);
  for (size_t r = 0; r < 2; ++r) {
    EXPECT_EQ(same.image().regions[r].id, "same");
    EXPECT_EQ(same.image().regions[r].box.right, first.image().regions[r].box.right);
    EXPECT_EQ(same.image().regions[r].outputs.at(1).values,
              first.image().regions[r].outputs.at(1).values);
  }
  Call scaled{'a'}, again{'a'};
  for (Call* call : {&scaled, &again}) {
    call->request.input.scales = {1, 2};
    call->request.input.flip = true;
    Run(call);
  }
  EXPECT_TRUE(again.image().cached);
  ExpectSameValues(again.image(), scaled.image());
}

// Whatever comes, in any order and under any fate, an answer is that of its own image.
TEST_F(ResponseCacheTest, ManyThreadsNeverGetEachOthersAnswers) {
  PipelineOptions options;
  options.response_cache.shared = true;
  options.admission.max_requests = 10'000;
  Make(options, 16 << 10);  // fewer than there are
  std::vector<std::thread> threads;
  std::atomic<int> answered = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 rng(static_cast<uint32_t>(t));
      for (int round = 0; round < 40; ++round) {
        std::deque<Call> calls;
        for (int i = 0; i < 16; ++i) {
          Call& call = calls.emplace_back();
          for (size_t n = 1 + rng() % 3; n > 0; --n) call.Add(static_cast<char>('a' + rng() % 26));
          call.request.context = Context(Concat("@", rng() % 2),
                                         rng() % 3 == 0 ? Priority::kBulk : Priority::kInteractive);
          call.request.heads = {{.kind = rng() % 2 == 0 ? "global_avg" : "gem"}};
          Start(&call);
          if (rng() % 6 == 0) call.request.context->Cancel();
        }
        for (Call& call : calls) {
          call.done.WaitForNotification();
          if (!call.result.status.ok()) continue;
          for (size_t i = 0; i < call.pictures.size(); ++i) {
            Image image(kSide, kSide);
            std::copy(call.pictures[i].begin(), call.pictures[i].end(), image.data());
            ASSERT_TRUE(call.image(i).status.ok()) << call.image(i).status;
            EXPECT_EQ(call.image(i).outputs.at(0).values,
                      FakeModel::Expected(image, call.result.heads->at(0)).values);
            ++answered;
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(answered, 1000);
  EXPECT_LE(pipeline_->Gauges().cache_bytes, pipeline_->Gauges().cache_capacity);
  EXPECT_TRUE(pipeline_->Drain(absl::Seconds(60)));
  const Readings readings = pipeline_->Gauges();
  EXPECT_EQ(readings.requests_in_flight, 0);
  EXPECT_EQ(readings.bytes_in_flight, 0);
  EXPECT_EQ(readings.pixels_in_flight, 0);
  EXPECT_GT(Uses("hit") + Uses("shared"), 0);
}

}  // namespace
}  // namespace pixpool
