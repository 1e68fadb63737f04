// The pipeline with a fake backbone: order of stages, batching across requests, and what happens to
// work that is not worth doing. No sleeps: the backbone is held, the clock is moved by hand.
#include "server/pipeline/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <random>
#include <thread>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/notification.h"
#include "server/image/decode.h"
#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Le;

std::string Pixels(int width, int height, uint32_t seed) {
  std::mt19937 rng(seed);
  std::string out(static_cast<size_t>(width * height * 3), '\0');
  for (char& c : out) c = static_cast<char>(rng());
  return out;
}

Image ToImage(const std::string& pixels, int width, int height) {
  Image image(width, height);
  std::copy(pixels.begin(), pixels.end(), image.data());
  return image;
}

ErrorReason ReasonOf(const absl::Status& status) {
  const auto details = GetErrorDetails(status);
  EXPECT_TRUE(details.has_value()) << status;
  return details ? details->reason : ErrorReason::kInferenceFailed;
}

// A request whose pictures it owns, and its result.
struct Call {
  std::vector<std::string> pictures;
  std::vector<Size> sizes;
  ExtractRequest request;
  ExtractResult result;
  absl::Notification done;

  void Add(int width, int height, uint32_t seed) {
    pictures.push_back(Pixels(width, height, seed));
    sizes.push_back({width, height});
  }
};

class PipelineTest : public ::testing::Test {
 protected:
  void Make(PipelineOptions options = {}, int instances = 1) {
    if (options.decode_threads == 0) options.decode_threads = 2;  // the same on every machine
    fake_ = std::make_unique<FakeRegistry>(&metrics_, instances);
    pipeline_ = std::make_unique<Pipeline>(options, &fake_->registry, &metrics_, &clock_);
  }

  std::shared_ptr<CallContext> Context(TimeDuration left = std::chrono::seconds(60)) {
    return std::make_shared<CallContext>(clock_.Now() + left);
  }

  void Start(Call* call) {
    for (size_t i = 0; i < call->pictures.size(); ++i) {
      call->request.images.push_back({.raw = call->pictures[i],
                                      .raw_width = call->sizes[i].width,
                                      .raw_height = call->sizes[i].height,
                                      .is_raw = true});
    }
    if (!call->request.context) call->request.context = Context();
    pipeline_->Extract(call->request, [call](ExtractResult result) {
      call->result = std::move(result);
      call->result.permit.Release();  // as when the answer has been written
      call->done.Notify();
    });
  }

  // What a scrape reads of the one model.
  ModelReadings OfModel() const {
    for (ModelReadings& model : pipeline_->Gauges().models) {
      if (model.model != nullptr) return model;
    }
    return {};
  }

  double QueueDepth() const { return OfModel().queue_depth; }

  ExtractResult& Run(Call* call) {
    Start(call);
    call->done.WaitForNotification();
    return call->result;
  }

  FakeClock clock_;
  Metrics metrics_;
  std::unique_ptr<FakeRegistry> fake_;
  std::unique_ptr<Pipeline> pipeline_;
};

HeadRequest RandomHead(std::mt19937* rng) {
  HeadRequest head;
  head.kind =
      std::vector<std::string>{"global_avg", "gem", "max_pool", "cat_avg_max"}[(*rng)() % 4];
  head.layer = (*rng)() % 2 == 0 ? "early" : "last";
  head.l2_normalized = (*rng)() % 2 == 0;
  if (head.kind == "gem") head.params["p"] = static_cast<double>((*rng)() % 900 + 100) / 100;
  if (head.kind == "max_pool") {
    head.params["kernel_size"] = std::vector<int64_t>{static_cast<int64_t>((*rng)() % 2 + 1)};
  }
  return head;
}

void ExpectAnswersOwnHeads(const Call& call) {
  ASSERT_TRUE(call.result.status.ok()) << call.result.status;
  ASSERT_EQ(call.result.images.size(), call.pictures.size());
  for (size_t i = 0; i < call.pictures.size(); ++i) {
    const ImageFeatures& got = call.result.images[i];
    ASSERT_TRUE(got.status.ok()) << got.status;
    const Image image = ToImage(call.pictures[i], call.sizes[i].width, call.sizes[i].height);
    ASSERT_EQ(got.outputs.size(), call.result.heads->size());
    for (size_t h = 0; h < got.outputs.size(); ++h) {
      EXPECT_EQ(got.outputs[h].values, FakeModel::Expected(image, (*call.result.heads)[h]).values);
    }
  }
}

TEST_F(PipelineTest, ImagesAreCountedByFormatFromTheStart) {
  Make();
  std::vector<std::string_view> names = FormatNames();
  ASSERT_GE(names.size(), 3u);
  names.push_back("raw");
  for (const std::string_view name : names) {
    EXPECT_THAT(metrics_.Scrape(), HasSubstr("pixpool_images_received_total{format=\"" +
                                             std::string(name) + "\"} 0\n"));
  }
  Call call;
  call.Add(32, 32, 1);
  call.request.heads.push_back({.kind = "global_avg"});
  ASSERT_TRUE(Run(&call).status.ok());
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("pixpool_images_received_total{format=\"raw\"} 1\n"));
}

// A PNG of one grey pixel, which lacks its last chunk.
std::string DamagedPicture() {
  const char bytes[] =
      "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0\x3a\x7e\x9b\x55"
      "\0\0\0\rIDAT\x78\x01\x01\2\0\xfd\xff\0\x80\0\x82\0\x81";
  return std::string(bytes, sizeof(bytes) - 1);
}

TEST_F(PipelineTest, DamagedPicturesAreReadWithAWarningOrRefused) {
  const std::string picture = DamagedPicture();
  for (const char* mode : {"accept", "refuse"}) {
    for (const std::optional<bool> asked :
         {std::optional<bool>(), std::optional(false), std::optional(true)}) {
      PipelineOptions options;
      options.damage.damaged = std::string(mode);
      Make(options);
      Call call;
      call.request.images.push_back({.encoded = picture});
      call.request.input.resize = ResizeMode::kExact;
      call.request.input.refuse_damaged = asked;
      call.request.heads.push_back({.kind = "global_avg"});
      const ImageFeatures& got = Run(&call).images.at(0);
      if (asked.value_or(options.damage.refuse())) {
        EXPECT_EQ(ReasonOf(got.status), ErrorReason::kImageUndecodable) << got.status;
        EXPECT_THAT(std::string(got.status.message()), HasSubstr("--damaged"));
      } else {
        ASSERT_TRUE(got.status.ok()) << got.status;
        EXPECT_THAT(got.warnings, testing::ElementsAre(HasSubstr("end marker is missing")));
      }
    }
  }
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr("pixpool_images_damaged_total{format=\"png\",kind=\"no_end\"} 3\n"));
  EXPECT_THAT(metrics_.Scrape(),
              HasSubstr("pixpool_images_damaged_total{format=\"jpeg\",kind=\"data\"} 0\n"));
}

TEST_F(PipelineTest, AFormatThatIsOffIsRefusedAndItsNeighboursAreServed) {
  PipelineOptions options;
  options.image.formats = std::string("jpeg,webp");
  Make(options);
  Call call;
  call.Add(32, 32, 1);
  const std::string png = DamagedPicture();
  call.request.images.push_back({.encoded = png});
  call.request.heads.push_back({.kind = "global_avg"});
  const std::vector<ImageFeatures>& got = Run(&call).images;
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(ReasonOf(got[0].status), ErrorReason::kImageUnsupportedFormat);
  EXPECT_EQ(std::string(got[0].status.message()),
            "PNG is not taken by this server (--formats); send a JPEG or WebP image");
  EXPECT_TRUE(got[1].status.ok()) << got[1].status;  // raw pixels, which are no format
}

// The number of threads that a pass gets hangs on it.
TEST_F(PipelineTest, ALonePictureCountsOnce) {
  Make({.decode_threads = 2}, 2);
  constexpr int kCalls = 1000;
  for (uint32_t i = 0; i < kCalls; ++i) {
    Call call;
    call.Add(32, 32, i);
    call.request.heads.push_back({.kind = "global_avg"});
    ASSERT_TRUE(Run(&call).status.ok());
  }
  EXPECT_EQ(fake_->model->pictures_in_flight(), std::vector<int>(kCalls, 1));
}

TEST_F(PipelineTest, ThousandInterleavedRequestsEqualTheirSingleAnswers) {
  Make({.admission = {.max_requests = 2000}, .decode_threads = 3}, 2);
  constexpr int kThreads = 4;
  constexpr int kCallsPerThread = 250;
  std::vector<std::unique_ptr<Call>> calls;
  std::mt19937 rng(7);
  for (int i = 0; i < kThreads * kCallsPerThread; ++i) {
    auto call = std::make_unique<Call>();
    const uint32_t images = rng() % 3 + 1;
    for (uint32_t k = 0; k < images; ++k) {
      call->Add(rng() % 3 == 0 ? 48 : 32, 32, static_cast<uint32_t>(rng()));
    }
    const uint32_t heads = rng() % 4 + 1;
    for (uint32_t k = 0; k < heads; ++k) call->request.heads.push_back(RandomHead(&rng));
    calls.push_back(std::move(call));
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, &calls, t] {
      for (int i = 0; i < kCallsPerThread; ++i) {
        Start(calls[static_cast<size_t>(i * kThreads + t)].get());
      }
    });
  }
  for (std::thread& t : threads) t.join();
  for (const auto& call : calls) {
    call->done.WaitForNotification();
    ExpectAnswersOwnHeads(*call);
  }
  EXPECT_THAT(fake_->model->batch_sizes(), Each(Le(8)));
}

TEST_F(PipelineTest, RequestsWithDifferentHeadsShareABatch) {
  Make();
  fake_->model->Hold();
  Call first;
  first.Add(32, 32, 1);
  Start(&first);
  fake_->model->AwaitBatches(1);
  std::vector<std::unique_ptr<Call>> rest;
  for (uint32_t i = 0; i < 4; ++i) {
    rest.push_back(std::make_unique<Call>());
    rest.back()->Add(32, 32, 10 + i);
    rest.back()->request.heads = {{.kind = "gem", .params = {{"p", 1.0 + i}}}};
    Start(rest.back().get());
  }
  // All decoded, and four that wait: in the batcher then, and not for a decode thread.
  const std::string decoded =
      "pixpool_stage_duration_seconds_count{model=\"fake\",stage=\"preprocess\",version=\"1\"} 5\n";
  while (metrics_.Scrape().find(decoded) == std::string::npos) std::this_thread::yield();
  while (QueueDepth() < 4) std::this_thread::yield();
  fake_->model->Release();
  for (const auto& call : rest) {
    call->done.WaitForNotification();
    ExpectAnswersOwnHeads(*call);
  }
  first.done.WaitForNotification();
  // One alone, at once; then the four.
  const std::vector<int> sizes = fake_->model->batch_sizes();
  EXPECT_EQ(sizes[0], 1);
  EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), 0), 5);
  EXPECT_EQ(sizes.size(), 2u);
}

TEST_F(PipelineTest, AnIdleInstanceDoesNotWaitForABatchToFill) {
  Make({.max_batch_size = 64, .max_batch_delay = std::chrono::hours(1)});
  Call call;
  call.Add(32, 32, 1);
  EXPECT_TRUE(Run(&call).status.ok());
  EXPECT_EQ(fake_->model->batch_sizes(), std::vector<int>{1});
}

TEST_F(PipelineTest, ABadImageFailsAlone) {
  Make();
  Call call;
  call.Add(32, 32, 1);
  call.Add(32, 32, 2);
  call.Add(32, 32, 3);
  call.pictures[1].resize(10);
  const ExtractResult& result = Run(&call);
  ASSERT_TRUE(result.status.ok());
  EXPECT_TRUE(result.images[0].status.ok());
  EXPECT_EQ(ReasonOf(result.images[1].status), ErrorReason::kRequestInvalid);
  EXPECT_EQ(GetErrorDetails(result.images[1].status)->field, "images[1].raw.pixels");
  EXPECT_TRUE(result.images[2].status.ok());
}

TEST_F(PipelineTest, OverloadIsRefusedAtOnceAndAdmittedWorkIsFinished) {
  Make({.admission = {.max_requests = 2, .retry_after = std::chrono::milliseconds(150)}});
  fake_->model->Hold();
  Call a, b, c;
  a.Add(32, 32, 1);
  b.Add(32, 32, 2);
  c.Add(32, 32, 3);
  Start(&a);
  Start(&b);
  Start(&c);
  ASSERT_TRUE(c.done.HasBeenNotified());
  EXPECT_EQ(ReasonOf(c.result.status), ErrorReason::kOverloaded);
  // A fifth more or less.
  EXPECT_GE(GetErrorDetails(c.result.status)->retry_after, absl::Milliseconds(120));
  EXPECT_LE(GetErrorDetails(c.result.status)->retry_after, absl::Milliseconds(180));
  EXPECT_FALSE(a.done.HasBeenNotified());
  fake_->model->Release();
  a.done.WaitForNotification();
  b.done.WaitForNotification();
  EXPECT_TRUE(a.result.status.ok());
  EXPECT_TRUE(b.result.status.ok());
}

TEST_F(PipelineTest, BytesAndPixelsAreBudgetedToo) {
  Make({.admission = {.max_requests = 100, .max_pixels = 1500}});
  fake_->model->Hold();
  Call a, b;
  a.Add(32, 32, 1);
  b.Add(32, 32, 2);
  Start(&a);
  Start(&b);
  ASSERT_TRUE(b.done.HasBeenNotified());
  EXPECT_EQ(ReasonOf(b.result.status), ErrorReason::kOverloaded);
  EXPECT_EQ(pipeline_->Gauges().pixels_in_flight, 1024);
  fake_->model->Release();
  a.done.WaitForNotification();
  EXPECT_TRUE(pipeline_->Drain(absl::Seconds(10)));
  EXPECT_EQ(pipeline_->Gauges().pixels_in_flight, 0);
}

TEST_F(PipelineTest, WhatWaitsIsReadByModelAndClass) {
  constexpr size_t kBulk = static_cast<size_t>(Priority::kBulk);
  PipelineOptions options;
  options.max_batch_size = 1;
  Make(options);
  fake_->model->Hold();
  Call first;
  first.Add(32, 32, 1);
  Start(&first);
  fake_->model->AwaitBatches(1);
  // One that has just gone on may be counted a little longer.
  while (QueueDepth() > 0) std::this_thread::yield();
  // More than may be ahead of the backbone.
  std::vector<Call> rest(6);
  for (Call& call : rest) {
    call.Add(32, 32, 2);
    call.request.context =
        std::make_shared<CallContext>(clock_.Now() + std::chrono::seconds(60), Priority::kBulk);
    Start(&call);
  }
  clock_.Advance(std::chrono::seconds(5));
  while (QueueDepth() < 6) std::this_thread::yield();
  const ModelReadings model = OfModel();
  EXPECT_EQ(model.model, fake_->registry.List()[0].loaded->metrics);
  EXPECT_EQ(model.oldest_pass_seconds, 5);
  EXPECT_EQ(model.oldest_wait_seconds[kBulk], 5);
  EXPECT_EQ(model.oldest_wait_seconds[1 - kBulk], 0);
  fake_->model->Release();
  first.done.WaitForNotification();
  for (Call& call : rest) call.done.WaitForNotification();
  while (QueueDepth() > 0) std::this_thread::yield();
  EXPECT_EQ(OfModel().oldest_wait_seconds[kBulk], 0);
}

TEST_F(PipelineTest, ExpiredWorkNeverReachesTheBackbone) {
  Make();
  fake_->model->Hold();
  Call running, late;
  running.Add(32, 32, 1);
  late.Add(32, 32, 2);
  late.request.context = Context(std::chrono::seconds(1));
  Start(&running);
  fake_->model->AwaitBatches(1);
  Start(&late);
  clock_.Advance(std::chrono::seconds(2));
  fake_->model->Release();
  late.done.WaitForNotification();
  EXPECT_EQ(ReasonOf(late.result.status), ErrorReason::kDeadlineInQueue);
  running.done.WaitForNotification();
  EXPECT_TRUE(running.result.status.ok());
  EXPECT_EQ(fake_->model->batch_sizes(), std::vector<int>{1});
  EXPECT_THAT(metrics_.Scrape(), HasSubstr("reason=\"DEADLINE_IN_QUEUE\""));
}

TEST_F(PipelineTest, CancelledWorkNeverReachesTheBackbone) {
  Make();
  fake_->model->Hold();
  Call running, gone, mate;
  running.Add(32, 32, 1);
  gone.Add(32, 32, 2);
  mate.Add(32, 32, 3);
  Start(&running);
  fake_->model->AwaitBatches(1);
  gone.request.context = Context();
  Start(&gone);
  Start(&mate);
  gone.request.context->Cancel();
  fake_->model->Release();
  gone.done.WaitForNotification();
  mate.done.WaitForNotification();
  running.done.WaitForNotification();
  EXPECT_EQ(ReasonOf(gone.result.status), ErrorReason::kCancelled);
  ExpectAnswersOwnHeads(mate);
  const std::vector<int> sizes = fake_->model->batch_sizes();
  EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), 0), 2);
}

TEST_F(PipelineTest, ADeadlineInThePastCostsNothing) {
  Make();
  Call call;
  call.Add(32, 32, 1);
  call.request.context = Context(-std::chrono::seconds(1));
  Start(&call);
  ASSERT_TRUE(call.done.HasBeenNotified());
  EXPECT_EQ(ReasonOf(call.result.status), ErrorReason::kDeadlineInQueue);
  EXPECT_TRUE(fake_->model->batch_sizes().empty());
}

TEST_F(PipelineTest, DrainFinishesWhatWasAdmittedAndRefusesTheRest) {
  Make();
  fake_->model->Hold();
  Call admitted;
  admitted.Add(32, 32, 1);
  Start(&admitted);
  fake_->model->AwaitBatches(1);
  EXPECT_FALSE(pipeline_->Drain(absl::ZeroDuration()));
  Call refused;
  refused.Add(32, 32, 2);
  Start(&refused);
  ASSERT_TRUE(refused.done.HasBeenNotified());
  EXPECT_EQ(ReasonOf(refused.result.status), ErrorReason::kDraining);
  fake_->model->Release();
  EXPECT_TRUE(pipeline_->Drain(absl::Seconds(30)));
  EXPECT_TRUE(admitted.done.HasBeenNotified());
  ExpectAnswersOwnHeads(admitted);
}

TEST_F(PipelineTest, AFailingBackboneFailsTheCallAndNotTheNextOne) {
  Make();
  fake_->model->SetFailing(true);
  Call bad, good;
  bad.Add(32, 32, 1);
  good.Add(32, 32, 2);
  EXPECT_EQ(ReasonOf(Run(&bad).status), ErrorReason::kInferenceFailed);
  fake_->model->SetFailing(false);
  ExpectAnswersOwnHeads((Run(&good), good));
}

TEST_F(PipelineTest, LimitsOfARequestNameTheFlag) {
  Make({.max_images_per_request = 2, .max_heads_per_request = 1, .max_response_bytes = 40});
  Call none, images, heads, response;
  EXPECT_EQ(ReasonOf(Run(&none).status), ErrorReason::kRequestInvalid);
  for (uint32_t i = 0; i < 3; ++i) images.Add(32, 32, i);
  EXPECT_THAT(std::string(Run(&images).status.message()), HasSubstr("--max-images-per-request"));
  heads.Add(32, 32, 1);
  heads.request.heads = {{.kind = "global_avg"}, {.kind = "gem"}};
  EXPECT_THAT(std::string(Run(&heads).status.message()), HasSubstr("--max-heads-per-request"));
  response.Add(32, 32, 1);
  response.request.heads = {{.kind = "feature_map"}};
  EXPECT_THAT(std::string(Run(&response).status.message()), HasSubstr("--max-response-bytes"));
  EXPECT_TRUE(fake_->model->batch_sizes().empty());
}

TEST_F(PipelineTest, UnknownModelsAndLayersAreNamed) {
  Make();
  Call model, layer;
  model.Add(32, 32, 1);
  model.request.model = "nope";
  EXPECT_EQ(ReasonOf(Run(&model).status), ErrorReason::kModelNotFound);
  layer.Add(32, 32, 1);
  layer.request.heads = {{.kind = "gem", .layer = "nope"}};
  EXPECT_EQ(ReasonOf(Run(&layer).status), ErrorReason::kLayerNotFound);
  EXPECT_EQ(GetErrorDetails(layer.result.status)->field, "heads[0].layer");
}

TEST_F(PipelineTest, ACallKeepsTheVersionThatItBeganWith) {
  Make();
  fake_->model->Hold();
  Call before;
  before.Add(32, 32, 1);
  before.Add(48, 32, 2);  // a batch of its own
  Start(&before);
  fake_->model->AwaitBatches(1);
  const auto next = std::make_shared<FakeModel>();
  const auto first = (*fake_->registry.Get("fake", "1"))->model;
  const std::weak_ptr<const LoadedModel> use = *fake_->registry.Get("fake", "1");
  fake_->registry.SetReady("fake", "1", next);
  Call after;
  after.Add(32, 32, 3);
  Run(&after);
  ExpectAnswersOwnHeads(after);
  EXPECT_EQ(after.result.model->model, next);
  EXPECT_FALSE(use.expired()) << "of the one before a call is under way";
  fake_->model->Release();
  before.done.WaitForNotification();
  ExpectAnswersOwnHeads(before);
  EXPECT_EQ(before.result.model->model, first);
  EXPECT_EQ(fake_->model->inputs().size(), 2u) << "both pictures by the same version";

  before.result = {};
  while (!use.expired()) std::this_thread::yield();  // threads that have let go of the call
  while (!pipeline_->Forget(*first)) std::this_thread::yield();
  EXPECT_EQ(pipeline_->Gauges().instance_threads, 1) << "those of the new version";
  EXPECT_EQ(first.use_count(), 1) << "the test's own";
  Call again;
  again.Add(32, 32, 4);
  Run(&again);
  ExpectAnswersOwnHeads(again);
}

TEST_F(PipelineTest, VersionsComeAndGoUnderCalls) {
  Make({.decode_threads = 3}, 2);
  std::atomic<bool> over = false;
  std::atomic<int> calls = 0;
  std::vector<std::thread> callers;
  for (uint32_t c = 0; c < 3; ++c) {
    callers.emplace_back([&, c] {
      for (uint32_t i = 0; !over; ++i) {
        Call call;
        call.Add(32, 32, 100 * c + i);
        call.Add(40, 40, 100 * c + i);
        Run(&call);
        ExpectAnswersOwnHeads(call);
        calls.fetch_add(1);
      }
    });
  }
  for (int version = 0; version < 20; ++version) {
    auto loaded = *fake_->registry.Get("fake", "1");
    const std::shared_ptr<Model> before = loaded->model;
    const std::weak_ptr<const LoadedModel> use = loaded;
    loaded.reset();
    fake_->registry.SetReady("fake", "1", std::make_shared<FakeModel>(2));
    while (!use.expired() || !pipeline_->Forget(*before)) std::this_thread::yield();
    EXPECT_EQ(before.use_count(), 1);
    for (const int so_far = calls; calls < so_far + 10;) std::this_thread::yield();
  }
  over = true;
  for (std::thread& caller : callers) caller.join();
}

TEST_F(PipelineTest, SpaceIdsFollowHeadsAndInputOptions) {
  Make();
  Call plain, exif, gem;
  plain.Add(32, 32, 1);
  exif.Add(32, 32, 1);
  exif.request.input.apply_exif = false;
  gem.Add(32, 32, 1);
  gem.request.heads = {
      {.kind = "global_avg"}, {.kind = "gem"}, {.kind = "gem", .params = {{"p", 4.0}}}};
  Run(&plain);
  Run(&exif);
  Run(&gem);
  const std::string base = (*plain.result.heads)[0].space_id;
  EXPECT_EQ(base.size(), 32u);
  EXPECT_NE(base, (*exif.result.heads)[0].space_id);
  EXPECT_EQ(base, (*gem.result.heads)[0].space_id);
  EXPECT_NE((*gem.result.heads)[1].space_id, (*gem.result.heads)[2].space_id);
}

// The pipeline sums what the passes gave; the fake says what each pass gives for its pixels.
TEST_F(PipelineTest, PassesOverScalesAndMirrorsAreSummed) {
  Make();
  Call call;
  call.Add(40, 32, 1);
  call.request.input.scales = {1, 0.5};
  call.request.input.flip = true;
  call.request.heads = {{.kind = "global_avg"}};
  ExtractResult& result = Run(&call);
  ASSERT_TRUE(result.status.ok()) << result.status;
  const ImageFeatures& image = result.images[0];
  ASSERT_TRUE(image.status.ok()) << image.status;
  EXPECT_EQ(image.input, (Size{40, 32}));

  const HeadSpec& head = (*result.heads)[0];
  const Image picture = ToImage(call.pictures[0], 40, 32);
  InputPlan half{.resize = ResizeMode::kNone, .crop = CropMode::kNone};
  half = ScaledPlan(half, 0.5);
  std::vector<std::vector<float>> passes;
  for (const bool small : {true, false}) {
    for (const bool mirrored : {false, true}) {
      Image input = small ? PreprocessCopy(picture, half) : CopyImage(picture);
      if (mirrored) input = ApplyOrientation(std::move(input), 2);
      passes.push_back(FakeModel::Expected(input, head).values);
    }
  }
  std::vector<const std::vector<float>*> views;
  for (const auto& pass : passes) views.push_back(&pass);
  EXPECT_EQ(image.outputs[0].values, SumPasses(views));
  const std::vector<int> sizes = fake_->model->batch_sizes();
  EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), 0), 4);
}

// One pass, whose model is told where the regions lie on the input.
TEST_F(PipelineTest, RegionsShareThePassOfTheirPicture) {
  Make();
  Call call;
  call.Add(64, 32, 1);
  call.Add(64, 32, 2);
  call.request.heads = {{.kind = "global_avg"}, {.kind = "gem"}};
  call.request.input.scales = {0.5};
  Start(&call);
  call.done.WaitForNotification();
  EXPECT_TRUE(call.result.images[0].regions.empty());

  Call with;
  with.pictures = call.pictures;
  with.sizes = call.sizes;
  with.request = call.request;
  with.request.images[0].regions = {{.id = "a", .box = {8, 4, 64, 32}},
                                    {.id = "b", .box = {0, 0.5, 1, 1}, .relative = true}};
  with.pictures.clear();  // the images are in the request already
  const size_t before = fake_->model->inputs().size();
  ASSERT_TRUE(Run(&with).status.ok()) << with.result.status;
  EXPECT_EQ(fake_->model->inputs().size(), before + 2);
  const ImageFeatures& image = with.result.images[0];
  ASSERT_TRUE(image.status.ok()) << image.status;
  EXPECT_TRUE(image.outputs.empty());
  ASSERT_EQ(image.regions.size(), 2u);
  EXPECT_EQ(image.regions[0].id, "a");
  EXPECT_EQ(image.regions[0].box.left, 8);
  ASSERT_EQ(image.regions[0].outputs.size(), 2u);
  EXPECT_EQ(image.regions[0].outputs[1].values, (std::vector<float>{4, 2, 32, 16}));
  EXPECT_EQ(image.regions[1].outputs[0].values, (std::vector<float>{0, 8, 32, 16}));
  // The other picture is as without regions.
  EXPECT_TRUE(with.result.images[1].regions.empty());
  EXPECT_EQ(with.result.images[1].outputs[0].values, call.result.images[1].outputs[0].values);
}

// Regions as if each had been sent alone: the same values for one pass and for several.
TEST_F(PipelineTest, CropsAreAsPicturesThatAreSent) {
  for (const bool several : {false, true}) {
    for (const bool include : {false, true}) {
      Make();
      const std::string pixels = Pixels(96, 64, 7);
      const std::vector<Region> parts = {{0, 0, 96, 64}, {10, 20, 40, 30}, {5, 6, 32, 33}};
      Call alone;  // the parts as pictures
      alone.request.heads = {{.kind = "global_avg"}, {.kind = "gem", .l2_normalized = true}};
      if (several) {
        alone.request.input.scales = {1, 2};
        alone.request.input.flip = true;
      }
      for (const Region& part : parts) {
        std::string& picture = alone.pictures.emplace_back();
        for (int y = part.top; y < part.bottom(); ++y) {
          picture += pixels.substr(3 * (static_cast<size_t>(y) * 96 + part.left), 3 * part.width);
        }
        alone.sizes.push_back({part.width, part.height});
      }
      ASSERT_TRUE(Run(&alone).status.ok());

      Call call;
      call.request.heads = alone.request.heads;
      call.request.input = alone.request.input;
      call.request.regions = {.mode = RegionMode::kCrop, .include_image = include};
      ImageInput image = {.raw = pixels, .raw_width = 96, .raw_height = 64, .is_raw = true};
      for (const Region& part : parts) {
        image.regions.push_back(
            {.box = {static_cast<double>(part.left), static_cast<double>(part.top),
                     static_cast<double>(part.right()), static_cast<double>(part.bottom())}});
      }
      call.request.images = {std::move(image)};
      ASSERT_TRUE(Run(&call).status.ok()) << call.result.status;
      const ImageFeatures& got = call.result.images[0];
      ASSERT_TRUE(got.status.ok()) << got.status;
      ASSERT_EQ(got.regions.size(), parts.size());
      for (size_t r = 0; r < parts.size(); ++r) {
        ASSERT_EQ(got.regions[r].outputs.size(), 2u);
        for (size_t h = 0; h < 2; ++h) {
          EXPECT_EQ(got.regions[r].outputs[h].values, alone.result.images[r].outputs[h].values);
        }
      }
      ASSERT_EQ(got.outputs.size(), include ? 2u : 0u);
      if (include) {  // the first part is all of it
        EXPECT_EQ(got.outputs[1].values, alone.result.images[0].outputs[1].values);
      }
    }
  }
}

TEST_F(PipelineTest, ActivationMapsOfCropsAreDrawnOnThem) {
  Make();
  const std::string pixels = Pixels(64, 48, 8);
  Call call;
  call.request.heads = {
      {.kind = "class_activation_map", .params = {{"format", std::string("png_overlay")}}}};
  call.request.regions.mode = RegionMode::kCrop;
  call.request.images = {{.raw = pixels,
                          .raw_width = 64,
                          .raw_height = 48,
                          .is_raw = true,
                          .regions = {{.box = {8, 4, 40, 36}}}}};
  ASSERT_TRUE(Run(&call).status.ok()) << call.result.status;
  const ImageFeatures& image = call.result.images[0];
  ASSERT_TRUE(image.status.ok()) << image.status;
  const HeadOutput& map = image.regions.at(0).outputs.at(0);
  const absl::StatusOr<ImageHeader> header = ReadImageHeader(map.png, {});
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->width, 32);
  EXPECT_EQ(header->height, 32);
  EXPECT_LE(map.box.right(), 32);
}

TEST_F(PipelineTest, ThePictureComesWithItsRegionsWhereAsked) {
  Make();
  Call call;
  call.Add(64, 32, 3);
  call.request.heads = {{.kind = "global_avg"}};
  call.request.images.push_back({.raw = call.pictures[0],
                                 .raw_width = 64,
                                 .raw_height = 32,
                                 .is_raw = true,
                                 .regions = {{.box = {0, 0, 4, 4}}}});
  call.request.regions.include_image = true;
  const std::string pixels = call.pictures[0];
  call.pictures.clear();
  call.request.images[0].raw = pixels;
  ASSERT_TRUE(Run(&call).status.ok()) << call.result.status;
  const ImageFeatures& image = call.result.images[0];
  ASSERT_EQ(image.outputs.size(), 1u);
  EXPECT_EQ(image.outputs[0].values,
            FakeModel::Expected(ToImage(pixels, 64, 32), (*call.result.heads)[0]).values);
  ASSERT_EQ(image.regions.size(), 1u);
  EXPECT_EQ(image.regions[0].outputs.size(), 1u);
}

TEST_F(PipelineTest, RegionsOfImagesThatAreOkAreCounted) {
  Make();
  const std::string pixels = Pixels(64, 32, 3);
  const ImageInput image = {.raw = pixels, .raw_width = 64, .raw_height = 32, .is_raw = true};
  for (const RegionMode mode : {RegionMode::kMap, RegionMode::kCrop}) {
    Call call;
    call.request.regions.mode = mode;
    call.request.images = {image, image, image};
    call.request.images[0].regions = {{.box = {0, 0, 16, 16}}, {.box = {0, 0, 32, 32}}};
    call.request.images[1].regions = {{.box = {0, 0, 16, 16}}, {.box = {0, 0, 65, 32}}};
    ASSERT_TRUE(Run(&call).status.ok()) << call.result.status;
    EXPECT_FALSE(call.result.images[1].status.ok());
    EXPECT_THAT(metrics_.Scrape(), HasSubstr("pixpool_regions_total{mode=\"" +
                                             std::string(RegionModeName(mode)) + "\"} 2\n"));
  }
}

TEST_F(PipelineTest, PassesOfOneCallerLetAnothersPictureBetween) {
  PipelineOptions options;
  options.decode_threads = 1;
  options.max_batch_size = 1;
  Make(options);
  fake_->model->Hold();
  Call greedy;
  greedy.Add(40, 32, 1);
  greedy.request.input.scales = {0.7, 0.8, 0.9, 1};
  greedy.request.input.flip = true;
  greedy.request.context = std::make_shared<CallContext>(clock_.Now() + std::chrono::seconds(60),
                                                         Priority::kInteractive, "greedy");
  Start(&greedy);
  fake_->model->AwaitBatches(1);
  Call modest;
  modest.Add(33, 33, 2);
  modest.request.context = std::make_shared<CallContext>(clock_.Now() + std::chrono::seconds(60),
                                                         Priority::kInteractive, "modest");
  Start(&modest);
  fake_->model->Release();
  for (Call* call : {&greedy, &modest}) {
    call->done.WaitForNotification();
    EXPECT_TRUE(call->result.status.ok()) << call->result.status;
  }
  const std::vector<Size> inputs = fake_->model->inputs();
  ASSERT_EQ(inputs.size(), 9U);
  const auto own = std::find(inputs.begin(), inputs.end(), Size{33, 33});
  EXPECT_LE(own - inputs.begin(), 5) << "those that were ahead in the batcher, and no more";
}

TEST_F(PipelineTest, APassThatFailsFailsItsImageOnce) {
  Make();
  fake_->model->SetFailing(true);
  Call call;
  call.Add(40, 32, 1);
  call.request.input.flip = true;
  const ExtractResult& result = Run(&call);
  EXPECT_EQ(ReasonOf(result.status), ErrorReason::kInferenceFailed);
  // A bad picture ends before it becomes passes.
  fake_->model->SetFailing(false);
  Call broken;
  broken.request.input.flip = true;
  const std::string bytes = "\x89PNG\r\n\x1a\n and nothing else";
  broken.request.images.push_back({.encoded = bytes});
  EXPECT_FALSE(Run(&broken).images[0].status.ok());
}

TEST_F(PipelineTest, CancelledPassesCountAsOneImage) {
  Make();
  fake_->model->Hold();
  Call first;
  first.Add(40, 32, 1);
  Start(&first);
  fake_->model->AwaitBatches(1);
  Call call;
  call.Add(40, 32, 2);
  call.request.input.scales = {1, 0.5};
  call.request.input.flip = true;
  Start(&call);
  call.request.context->Cancel();
  fake_->model->Release();
  call.done.WaitForNotification();
  first.done.WaitForNotification();
  EXPECT_EQ(ReasonOf(call.result.status), ErrorReason::kCancelled);
  EXPECT_TRUE(pipeline_->Drain(absl::Seconds(10)));
}

TEST_F(PipelineTest, ClassActivationMapsAreDrawnOnThePicture) {
  Make();
  Call call;
  call.Add(40, 32, 1);
  call.request.heads = {
      {.kind = "class_activation_map"},
      {.kind = "class_activation_map", .params = {{"format", std::string("png")}}},
      {.kind = "class_activation_map", .params = {{"format", std::string("png_overlay")}}},
      {.kind = "global_avg"}};
  const ExtractResult& result = Run(&call);
  ASSERT_TRUE(result.status.ok()) << result.status;
  const std::vector<HeadOutput>& outputs = result.images[0].outputs;
  ASSERT_EQ(outputs.size(), 4u);
  EXPECT_EQ(outputs[0].values.size(), 4u);
  EXPECT_TRUE(outputs[0].png.empty());
  std::vector<std::string> drawn;
  for (size_t h = 1; h < 3; ++h) {
    EXPECT_TRUE(outputs[h].values.empty());
    const auto header = ReadImageHeader(outputs[h].png, ImageLimits());
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->width, 40);
    EXPECT_EQ(header->height, 32);
    // The same class and the same pixels: the same box.
    EXPECT_EQ(outputs[h].box, outputs[0].box);
    drawn.push_back(outputs[h].png);
  }
  EXPECT_NE(drawn[0], drawn[1]);
  EXPECT_GT(outputs[0].box.right(), outputs[0].box.left);
  EXPECT_EQ(outputs[3].box, Region());
}

TEST_F(PipelineTest, HugeWindowsAreRefusedBeforeAnyWork) {
  Make();
  Call call;
  call.Add(2048, 2048, 1);
  const auto side = [](int64_t n) { return std::vector<int64_t>{n}; };
  call.request.heads = {{.kind = "max_pool",
                         .layer = "early",
                         .params = {{"kernel_size", side(256)}, {"stride", side(1)}}}};
  const ExtractResult& result = Run(&call);
  EXPECT_EQ(ReasonOf(result.status), ErrorReason::kLimitExceeded);
  EXPECT_THAT(std::string(result.status.message()), HasSubstr("--max-head-operations"));
  EXPECT_TRUE(fake_->model->batch_sizes().empty());
}

TEST_F(PipelineTest, TensorsWaitForNoBatchAndAreDropped) {
  Make();
  const std::vector<float> values = {1, 2, 3, 4};
  PoolRequest request{.shape = {1, 1, 2, 2}, .values = values, .heads = {{.kind = "global_max"}}};
  request.context = Context();
  PoolResult result;
  const auto pool = [&](PoolRequest wanted) {
    absl::Notification finished;
    pipeline_->Pool(std::move(wanted), [&](PoolResult got) {
      result = std::move(got);
      finished.Notify();
    });
    finished.WaitForNotification();
  };
  pool(request);
  ASSERT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.maps[0][0].values, (std::vector<float>{4}));
  request.context->Cancel();
  pool(request);
  EXPECT_EQ(ReasonOf(result.status), ErrorReason::kCancelled);
  EXPECT_TRUE(pipeline_->Drain(absl::Seconds(10))) << "a permit is released after its answer";
  EXPECT_EQ(pipeline_->Gauges().requests_in_flight, 0);
  request.context = Context();
  pool(request);
  EXPECT_EQ(ReasonOf(result.status), ErrorReason::kDraining);
}

}  // namespace
}  // namespace pixpool
