// The gRPC surface over a real port, with a fake backbone: codes, details, streams, health,
// reflection.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "pixpool/v1/feature_service.grpc.pb.h"
#include "server/base/text.h"
#include "server/rpc/call_watch.h"
#include "server/rpc/feature_service.h"
#include "server/rpc/grpc_server.h"
#include "server/rpc/status.h"
#include "tests/integration/fake_model.h"

namespace pixpool {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::Image RawImage(int side, char seed, const std::string& id = "") {
  v1::Image image;
  image.set_image_id(id);
  image.mutable_raw()->set_height_px(side);
  image.mutable_raw()->set_width_px(side);
  image.mutable_raw()->set_pixels(std::string(static_cast<size_t>(side * side * 3), seed));
  return image;
}

// The details of a failed call.
template <typename Detail>
std::optional<Detail> DetailOf(const grpc::Status& status) {
  google::rpc::Status rpc;
  rpc.ParseFromString(status.error_details());
  Detail detail;
  for (const auto& any : rpc.details()) {
    if (any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

std::string ReasonOf(const grpc::Status& status) {
  const auto info = DetailOf<google::rpc::ErrorInfo>(status);
  return info && info->domain() == kErrorDomain ? info->reason() : "";
}

std::string FieldOf(const grpc::Status& status) {
  const auto request = DetailOf<google::rpc::BadRequest>(status);
  return request && request->field_violations_size() == 1 ? request->field_violations(0).field()
                                                          : "";
}

// Labels of a call.
constexpr char kFake[] = "model=\"fake\",version=\"1\"";
constexpr char kNone[] = "model=\"\",version=\"\"";

// The line of the calls that ended so.
std::string Counted(std::string_view code, std::string_view method, std::string_view model,
                    int count) {
  return Concat("pixpool_requests_total{code=\"", code, "\",method=\"", method, "\",", model, "} ",
                count, "\n");
}

class ServiceTest : public ::testing::Test {
 protected:
  void Make(PipelineOptions pipeline_options = {}, RpcOptions rpc_options = {}) {
    // The same on every machine.
    if (pipeline_options.decode_threads == 0) pipeline_options.decode_threads = 2;
    fake_ = std::make_unique<FakeRegistry>(&metrics_);
    pipeline_ =
        std::make_unique<Pipeline>(pipeline_options, &fake_->registry, &metrics_, Clock::Real());
    service_ = std::make_unique<FeatureService>(
        rpc_options, nullptr, pipeline_.get(), &fake_->registry, &metrics_, Clock::Real(), &watch_);
    rpc_options.listen = "127.0.0.1:0";
    auto server = StartGrpcServer(rpc_options, {service_.get()}, &metrics_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(server_->addresses().front(),
                                         grpc::InsecureChannelCredentials(), arguments);
    stub_ = v1::FeatureService::NewStub(channel_);
  }

  void TearDown() override {
    if (fake_) fake_->model->Release();
    if (pipeline_) pipeline_->Drain(absl::Seconds(20));
    if (server_) server_->Shutdown(absl::ZeroDuration());
  }

  grpc::Status Extract(const v1::ExtractFeaturesRequest& request,
                       v1::ExtractFeaturesResponse* response, grpc::ClientContext* context) {
    return stub_->ExtractFeatures(context, request, response);
  }
  grpc::Status Extract(const v1::ExtractFeaturesRequest& request) {
    grpc::ClientContext context;
    v1::ExtractFeaturesResponse response;
    return Extract(request, &response, &context);
  }

  // What the client did last has reached the server's handlers once later calls have been answered.
  void LetTheServerCatchUp() {
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(Extract({}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    }
  }

  Metrics metrics_;
  CallWatch watch_{Clock::Real(), std::chrono::milliseconds(10)};
  std::unique_ptr<FakeRegistry> fake_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<FeatureService> service_;
  std::unique_ptr<GrpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::FeatureService::Stub> stub_;
};

TEST_F(ServiceTest, ResultsCarryIdsShapesSpacesAndTimes) {
  Make();
  v1::ExtractFeaturesRequest request;
  *request.add_images() = RawImage(32, 'a', "first");
  *request.add_images() = RawImage(32, 'b', "second");
  request.add_heads()->mutable_global_avg();
  request.add_heads()->mutable_gem()->set_p(4);
  request.add_heads()->mutable_gem();
  request.add_heads()->mutable_class_scores();
  grpc::ClientContext context;
  v1::ExtractFeaturesResponse response;
  const grpc::Status status = Extract(request, &response, &context);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.model().name(), "fake");
  ASSERT_EQ(response.results_size(), 2);
  EXPECT_EQ(response.results(0).image_id(), "first");
  EXPECT_EQ(response.results(1).index(), 1);
  const v1::Features& features = response.results(1).features();
  ASSERT_EQ(features.head_results_size(), 4);
  EXPECT_EQ(features.head_results(1).head_id(), "gem");
  EXPECT_EQ(features.head_results(2).head_id(), "gem_2");
  EXPECT_NE(features.head_results(1).space_id(), features.head_results(2).space_id());
  EXPECT_EQ(features.head_results(0).layer(), "last");
  EXPECT_EQ(features.head_results(0).values_size(), 4);
  EXPECT_EQ(features.head_results(3).class_scores(1).label(), "bee");
  EXPECT_EQ(features.stage_times().backbone().nanos(), 2'000'000);
  EXPECT_EQ(features.input_width_px(), 32);
}

TEST_F(ServiceTest, ABadImageHasItsOwnStatusWithDetails) {
  Make();
  v1::ExtractFeaturesRequest request;
  *request.add_images() = RawImage(32, 'a');
  request.add_images()->set_encoded("8BPS not ours");
  request.add_images();
  grpc::ClientContext context;
  v1::ExtractFeaturesResponse response;
  ASSERT_TRUE(Extract(request, &response, &context).ok());
  EXPECT_TRUE(response.results(0).has_features());
  const google::rpc::Status& bad = response.results(1).status();
  EXPECT_EQ(bad.code(), grpc::StatusCode::INVALID_ARGUMENT);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(bad.details(0).UnpackTo(&info));
  EXPECT_EQ(info.reason(), "IMAGE_UNSUPPORTED_FORMAT");
  EXPECT_EQ(response.results(2).status().code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(response.results(2).status().message(), HasSubstr("encoded or raw"));
}

TEST_F(ServiceTest, ErrorsOfARequestHaveCodeReasonAndField) {
  Make();
  struct Case {
    std::string reason;
    grpc::StatusCode code;
    std::string field;
    std::function<void(v1::ExtractFeaturesRequest*)> break_it;
  };
  const std::vector<Case> cases = {
      {"MODEL_NOT_FOUND", grpc::StatusCode::NOT_FOUND, "model",
       [](auto* r) { r->set_model("nope"); }},
      {"MODEL_NOT_FOUND", grpc::StatusCode::NOT_FOUND, "model_version",
       [](auto* r) { r->set_model_version("9"); }},
      {"LAYER_NOT_FOUND", grpc::StatusCode::NOT_FOUND, "heads[0].layer",
       [](auto* r) {
         r->add_heads()->mutable_gem();
         r->mutable_heads(0)->set_layer("nope");
       }},
      {"HEAD_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "heads[1].gem.p",
       [](auto* r) {
         r->add_heads()->mutable_gem();
         r->add_heads()->mutable_gem()->set_p(-1);
       }},
      {"HEAD_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "heads[0].kind",
       [](auto* r) { r->add_heads(); }},
      {"HEAD_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "heads[0].max_pool.padding",
       [](auto* r) {
         r->add_heads()->mutable_max_pool()->add_kernel_size(2);
         r->mutable_heads(0)->mutable_max_pool()->add_padding(2);
       }},
      {"HEAD_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "heads[0].class_scores.score_type",
       [](auto* r) {
         r->add_heads()->mutable_class_scores()->set_score_type(static_cast<v1::ScoreType>(77));
       }},
      {"HEAD_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "heads[0].rmac.overlap",
       [](auto* r) { r->add_heads()->mutable_rmac()->set_overlap(1); }},
      {"HEAD_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "heads[0].encoding",
       [](auto* r) {
         r->add_heads()->mutable_class_scores();
         r->mutable_heads(0)->set_encoding(v1::ENCODING_INT8);
       }},
      {"HEAD_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "heads[0].projection",
       [](auto* r) {
         r->add_heads()->mutable_gem();
         r->mutable_heads(0)->set_projection("nope");
       }},
      {"HEAD_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "heads[0].dimensions",
       [](auto* r) {
         r->add_heads()->mutable_gem();
         r->mutable_heads(0)->set_dimensions(8);
       }},
      {"HEAD_INVALID", grpc::StatusCode::INVALID_ARGUMENT,
       "heads[0].class_activation_map.class_index",
       [](auto* r) { r->add_heads()->mutable_class_activation_map()->set_class_index(3); }},
      {"HEAD_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "heads[0].conv_pool.filter",
       [](auto* r) { r->add_heads()->mutable_conv_pool(); }},
      {"REQUEST_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "input_options.scales[1]",
       [](auto* r) {
         r->mutable_input_options()->add_scales(1);
         r->mutable_input_options()->add_scales(0.01f);
       }},
      {"HEAD_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "heads[0].feature_map",
       [](auto* r) {
         r->add_heads()->mutable_feature_map();
         r->mutable_input_options()->set_flip(true);
       }},
      {"REQUEST_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "images",
       [](auto* r) { r->clear_images(); }},
      {"REQUEST_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "input_options.input_height_px",
       [](auto* r) { r->mutable_input_options()->set_input_height_px(0); }},
      {"LIMIT_EXCEEDED", grpc::StatusCode::INVALID_ARGUMENT, "input_options.input_height_px",
       [](auto* r) { r->mutable_input_options()->set_input_height_px(1 << 20); }},
      {"REQUEST_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "input_options.background.green",
       [](auto* r) { r->mutable_input_options()->mutable_background()->set_green(256); }},
      {"REQUEST_INVALID", grpc::StatusCode::INVALID_ARGUMENT, "request_id",
       [](auto* r) { r->set_request_id("two\nlines"); }},
  };
  for (const Case& c : cases) {
    v1::ExtractFeaturesRequest request;
    *request.add_images() = RawImage(32, 'a');
    c.break_it(&request);
    const grpc::Status status = Extract(request);
    SCOPED_TRACE(c.field + ": " + status.error_message());
    EXPECT_EQ(status.error_code(), c.code);
    EXPECT_EQ(ReasonOf(status), c.reason);
    const auto bad = DetailOf<google::rpc::BadRequest>(status);
    ASSERT_TRUE(bad.has_value());
    EXPECT_EQ(bad->field_violations(0).field(), c.field);
  }
  EXPECT_TRUE(fake_->model->batch_sizes().empty());
}

TEST_F(ServiceTest, OverloadTellsTheClientWhenToRetry) {
  Make({.admission = {.max_requests = 1, .retry_after = std::chrono::milliseconds(120)}});
  fake_->model->Hold();
  v1::ExtractFeaturesRequest request;
  *request.add_images() = RawImage(32, 'a');
  std::thread first([&] { EXPECT_TRUE(Extract(request).ok()); });
  fake_->model->AwaitBatches(1);
  grpc::ClientContext context;
  v1::ExtractFeaturesResponse response;
  const grpc::Status status = Extract(request, &response, &context);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status), "OVERLOADED");
  const auto retry = DetailOf<google::rpc::RetryInfo>(status);
  ASSERT_TRUE(retry.has_value());
  // A fifth more or less.
  EXPECT_GE(retry->retry_delay().nanos(), 96'000'000);
  EXPECT_LE(retry->retry_delay().nanos(), 144'000'000);
  const auto pushback = context.GetServerTrailingMetadata().find("grpc-retry-pushback-ms");
  ASSERT_NE(pushback, context.GetServerTrailingMetadata().end());
  EXPECT_EQ(pushback->second, std::to_string(retry->retry_delay().nanos() / 1'000'000));
  fake_->model->Release();
  first.join();
}

TEST_F(ServiceTest, CancelledCallFreesItsPlaceAndSkipsTheBackbone) {
  Make();
  fake_->model->Hold();
  v1::ExtractFeaturesRequest request;
  *request.add_images() = RawImage(32, 'a');
  std::thread first([&] { EXPECT_TRUE(Extract(request).ok()); });
  fake_->model->AwaitBatches(1);
  grpc::ClientContext context;
  v1::ExtractFeaturesResponse response;
  grpc::Status status;
  std::thread second([&] { status = Extract(request, &response, &context); });
  while (pipeline_->Gauges().requests_in_flight < 2) std::this_thread::yield();
  context.TryCancel();
  second.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  LetTheServerCatchUp();
  fake_->model->Release();
  first.join();
  EXPECT_TRUE(pipeline_->Drain(absl::Seconds(20)));
  EXPECT_EQ(fake_->model->batch_sizes(), std::vector<int>{1});
}

// Something that is watched, and takes its time once it has expired.
class Expiring final : public Watched, public std::enable_shared_from_this<Expiring> {
 public:
  explicit Expiring(std::function<void()> body) : body_(std::move(body)) {}
  void OnExpired() override { body_(); }

 private:
  std::shared_ptr<Watched> Keep() override { return shared_from_this(); }
  const std::function<void()> body_;
};

// The watch has taken a call as expired when the client cancels it: by the time that the watch
// turns to it, gRPC has destroyed the call's context.
TEST_F(ServiceTest, ACallMayEndWhileItExpires) {
  RpcOptions options;
  options.call.default_deadline = std::chrono::milliseconds(100);
  Make({}, options);
  grpc::GenericStub generic(channel_);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  void* tag = nullptr;
  bool ok = false;

  absl::Notification expired;
  const auto first = std::make_shared<Expiring>([&] { expired.WaitForNotification(); });
  watch_.AwaitMessage(first.get(), Clock::Real()->Now());
  const auto call =
      generic.PrepareCall(&context, "/pixpool.v1.FeatureService/ExtractFeatures", &queue);
  call->StartCall(nullptr);  // and no message
  ASSERT_TRUE(queue.Next(&tag, &ok) && ok);
  LetTheServerCatchUp();
  absl::Notification taken;
  absl::Notification ended;
  const auto second = std::make_shared<Expiring>([&] {
    taken.Notify();
    ended.WaitForNotification();
  });
  // In front of the call, so that both are taken together and this one has its turn before it.
  watch_.AwaitMessage(second.get(), Clock::Real()->Now());
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  expired.Notify();
  taken.WaitForNotification();
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok));
  LetTheServerCatchUp();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ended.Notify();
  LetTheServerCatchUp();
  for (const auto& one : {first, second}) watch_.Forget(one.get());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(ServiceTest, DeadlineOfTheClientIsHonoured) {
  Make();
  fake_->model->Hold();
  v1::ExtractFeaturesRequest request;
  *request.add_images() = RawImage(32, 'a');
  std::thread first([&] { EXPECT_TRUE(Extract(request).ok()); });
  fake_->model->AwaitBatches(1);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  v1::ExtractFeaturesResponse response;
  EXPECT_EQ(Extract(request, &response, &context).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  LetTheServerCatchUp();
  fake_->model->Release();
  first.join();
  EXPECT_TRUE(pipeline_->Drain(absl::Seconds(20)));
  EXPECT_EQ(fake_->model->batch_sizes(), std::vector<int>{1});
}

TEST_F(ServiceTest, StreamAnswersEveryImageOnceAndKeepsGoingAfterABadOne) {
  Make({}, {.call = {.max_stream_in_flight = 4}});
  constexpr int kImages = 200;
  grpc::ClientContext context;
  auto stream = stub_->StreamFeatures(&context);
  std::thread writer([&stream] {
    for (int i = 0; i < kImages; ++i) {
      v1::StreamFeaturesRequest request;
      if (i == 0) request.mutable_config()->add_heads()->mutable_gem();
      if (i == 100) request.mutable_config()->add_heads()->mutable_global_max();
      *request.mutable_image() = RawImage(32, static_cast<char>(i), std::to_string(i));
      if (i % 50 == 7) request.mutable_image()->mutable_raw()->clear_pixels();
      stream->Write(request);
    }
    stream->WritesDone();
  });
  std::set<std::string> seen;
  int failed = 0;
  v1::StreamFeaturesResponse response;
  while (stream->Read(&response)) {
    const v1::ImageResult& result = response.result();
    EXPECT_TRUE(seen.insert(result.image_id()).second);
    EXPECT_EQ(std::to_string(result.index()), result.image_id());
    if (result.has_status()) {
      ++failed;
      continue;
    }
    const std::string kind = result.features().head_results(0).kind();
    EXPECT_EQ(kind, result.index() < 100 ? "gem" : "global_max");
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(seen.size(), static_cast<size_t>(kImages));
  EXPECT_EQ(failed, 4);
}

TEST_F(ServiceTest, StreamHoldsTheClientBackBeyondItsBound) {
  Make({}, {.call = {.max_stream_in_flight = 3}});
  fake_->model->Hold();
  grpc::ClientContext context;
  auto stream = stub_->StreamFeatures(&context);
  for (int i = 0; i < 10; ++i) {
    v1::StreamFeaturesRequest request;
    *request.mutable_image() = RawImage(32, static_cast<char>(i));
    ASSERT_TRUE(stream->Write(request));
  }
  while (pipeline_->Gauges().requests_in_flight < 3) std::this_thread::yield();
  fake_->model->AwaitBatches(1);
  EXPECT_EQ(pipeline_->Gauges().requests_in_flight, 3);
  fake_->model->Release();
  stream->WritesDone();
  int answers = 0;
  v1::StreamFeaturesResponse response;
  while (stream->Read(&response)) ++answers;
  EXPECT_EQ(answers, 10);
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ServiceTest, AbandonedStreamLeavesNothingBehind) {
  Make();
  {
    grpc::ClientContext context;
    auto stream = stub_->StreamFeatures(&context);
    v1::StreamFeaturesRequest request;
    *request.mutable_image() = RawImage(32, 'x');
    ASSERT_TRUE(stream->Write(request));
    context.TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(pipeline_->Drain(absl::Seconds(20)));
  EXPECT_EQ(pipeline_->Gauges().requests_in_flight, 0);
}

TEST_F(ServiceTest, ModelsDescribeThemselves) {
  Make();
  grpc::ClientContext list_context, get_context, missing_context;
  v1::ListModelsResponse list;
  ASSERT_TRUE(stub_->ListModels(&list_context, {}, &list).ok());
  ASSERT_EQ(list.models_size(), 1);
  EXPECT_EQ(list.models(0).labels_size(), 0);
  v1::GetModelResponse got;
  ASSERT_TRUE(stub_->GetModel(&get_context, {}, &got).ok());
  const v1::Model& model = got.model();
  EXPECT_EQ(model.state(), v1::MODEL_STATE_READY);
  EXPECT_EQ(model.labels_size(), 3);
  EXPECT_EQ(model.layers(1).channel_count(), 8);
  EXPECT_GE(model.head_types_size(), 11);
  EXPECT_EQ(model.space_id().size(), 32u);
  EXPECT_GT(model.limits().max_image_bytes(), 0);
  v1::GetModelRequest missing;
  missing.set_model("nope");
  const grpc::Status status = stub_->GetModel(&missing_context, missing, &got);
  EXPECT_EQ(ReasonOf(status), "MODEL_NOT_FOUND");
}

// Two maps [1, 2, 2] with heads to be added.
v1::PoolTensorRequest TwoMaps() {
  v1::PoolTensorRequest request;
  for (const int64_t extent : {2, 1, 2, 2}) request.mutable_tensor()->add_shape(extent);
  for (const float value : {1, 2, 3, 4, -5, 6, 7, 8}) request.mutable_tensor()->add_values(value);
  return request;
}

TEST_F(ServiceTest, PoolTensorPoolsEveryMapWithEveryHead) {
  Make();
  v1::PoolTensorRequest request = TwoMaps();
  request.add_heads()->mutable_global_avg();
  request.add_heads()->mutable_max_pool()->add_kernel_size(2);
  request.mutable_heads(1)->mutable_max_pool()->set_return_indices(true);
  request.add_heads()->mutable_gem();
  grpc::ClientContext context;
  v1::PoolTensorResponse response;
  const grpc::Status status = stub_->PoolTensor(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.results_size(), 2);
  EXPECT_EQ(response.results(0).head_results(0).values(0), 2.5f);
  EXPECT_EQ(response.results(1).head_results(0).values(0), 4.0f);
  const v1::HeadResult& pooled = response.results(1).head_results(1);
  EXPECT_EQ(pooled.values(0), 8.0f);
  EXPECT_EQ(pooled.indices(0), 3);
  EXPECT_EQ(pooled.shape_size(), 3);
  EXPECT_EQ(pooled.head_id(), "max_pool");
  EXPECT_EQ(pooled.space_id(), "");
  // Only the map that has negative values is told so.
  EXPECT_EQ(response.results(0).head_results(2).warnings_size(), 0);
  EXPECT_EQ(response.results(1).head_results(2).warnings_size(), 1);
}

TEST_F(ServiceTest, PoolTensorUnpoolsWithTheCallersIndices) {
  Make();
  v1::PoolTensorRequest request;
  for (const int64_t extent : {1, 1, 1, 2}) request.mutable_tensor()->add_shape(extent);
  for (const float value : {5, 6}) request.mutable_tensor()->add_values(value);
  for (const int64_t index : {1, 6}) request.add_indices(index);
  request.add_heads()->mutable_max_unpool()->add_kernel_size(2);
  grpc::ClientContext context;
  v1::PoolTensorResponse response;
  const grpc::Status status = stub_->PoolTensor(&context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const auto& values = response.results(0).head_results(0).values();
  EXPECT_EQ(std::vector<float>(values.begin(), values.end()),
            (std::vector<float>{0, 5, 0, 0, 0, 0, 6, 0}));
}

TEST_F(ServiceTest, PoolTensorNamesWhatIsWrong) {
  Make({.max_heads_per_request = 2, .max_head_operations = 6'000, .max_response_bytes = 1 << 20});
  struct Case {
    std::string reason, field;
    std::function<void(v1::PoolTensorRequest*)> change;
  };
  const std::vector<Case> cases = {
      {"REQUEST_INVALID", "tensor.shape", [](auto* r) { r->mutable_tensor()->add_shape(1); }},
      {"REQUEST_INVALID", "tensor.shape[2]", [](auto* r) { r->mutable_tensor()->set_shape(2, 0); }},
      {"REQUEST_INVALID", "tensor.shape[0]",
       [](auto* r) { r->mutable_tensor()->set_shape(0, int64_t{1} << 40); }},
      {"REQUEST_INVALID", "tensor.values", [](auto* r) { r->mutable_tensor()->add_values(1); }},
      {"REQUEST_INVALID", "heads", [](auto* r) { r->clear_heads(); }},
      {"LIMIT_EXCEEDED", "heads",
       [](auto* r) {
         for (int i = 0; i < 2; ++i) r->add_heads()->mutable_gem();
       }},
      {"HEAD_INVALID", "heads[0].layer", [](auto* r) { r->mutable_heads(0)->set_layer("last"); }},
      {"HEAD_INVALID", "heads[0].class_scores",
       [](auto* r) { r->mutable_heads(0)->mutable_class_scores(); }},
      {"HEAD_INVALID", "heads[0].class_activation_map",
       [](auto* r) { r->mutable_heads(0)->mutable_class_activation_map(); }},
      {"HEAD_INVALID", "heads[0].conv_pool.bundle_filter",
       [](auto* r) { r->mutable_heads(0)->mutable_conv_pool()->set_bundle_filter("f"); }},
      {"HEAD_INVALID", "heads[0].projection",
       [](auto* r) { r->mutable_heads(0)->set_projection("p"); }},
      {"HEAD_INVALID", "heads[0].max_pool.kernel_size",
       [](auto* r) { r->mutable_heads(0)->mutable_max_pool()->add_kernel_size(3); }},
      {"HEAD_INVALID", "heads[0].max_unpool.output_size",
       [](auto* r) {
         r->mutable_heads(0)->mutable_max_unpool()->add_kernel_size(2);
         r->mutable_heads(0)->mutable_max_unpool()->add_output_size(9);
       }},
      {"REQUEST_INVALID", "indices", [](auto* r) { r->add_indices(0); }},
      {"REQUEST_INVALID", "indices",
       [](auto* r) {
         r->mutable_heads(0)->mutable_max_unpool()->add_kernel_size(2);
         r->add_indices(0);
       }},
      {"REQUEST_INVALID", "indices[3]",
       [](auto* r) {
         r->mutable_heads(0)->mutable_max_unpool()->add_kernel_size(2);
         for (const int64_t index : {0, 1, 2, 16, 4, 5, 6, 7}) r->add_indices(index);
       }},
      {"LIMIT_EXCEEDED", "heads",
       [](auto* r) {
         auto* pool = r->mutable_heads(0)->mutable_adaptive_avg();
         pool->add_output_size(1024);
       }},
      {"LIMIT_EXCEEDED", "heads",
       [](auto* r) { r->mutable_heads(0)->mutable_adaptive_avg()->add_output_size(64); }},
      // Many maps of one value: an answer of mostly names and shapes.
      {"LIMIT_EXCEEDED", "heads",
       [](auto* r) {
         r->mutable_tensor()->clear_values();
         for (int i = 0; i < 5000; ++i) r->mutable_tensor()->add_values(1);
         const int64_t shape[] = {5000, 1, 1, 1};
         for (int i = 0; i < 4; ++i) r->mutable_tensor()->set_shape(i, shape[i]);
       }},
  };
  for (const Case& c : cases) {
    v1::PoolTensorRequest request = TwoMaps();
    request.add_heads()->mutable_global_avg();
    c.change(&request);
    grpc::ClientContext context;
    v1::PoolTensorResponse response;
    const grpc::Status status = stub_->PoolTensor(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << c.field;
    EXPECT_EQ(ReasonOf(status), c.reason) << c.field << ": " << status.error_message();
    EXPECT_EQ(FieldOf(status), c.field) << status.error_message();
  }
}

TEST_F(ServiceTest, OversizedMessageIsRefusedByTheTransport) {
  Make({}, {.max_message_bytes = 1 << 20});
  v1::ExtractFeaturesRequest request;
  request.add_images()->set_encoded(std::string(2 << 20, 'x'));
  EXPECT_EQ(Extract(request).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(ServiceTest, CompressedMessagesAreRefused) {
  Make();
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  v1::ExtractFeaturesRequest request;
  *request.add_images() = RawImage(32, 'a');
  v1::ExtractFeaturesResponse response;
  EXPECT_EQ(Extract(request, &response, &context).error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(ServiceTest, EachCallIsCountedOnce) {
  Make();
  v1::ExtractFeaturesRequest good, bad;
  *good.add_images() = RawImage(32, 'a');
  bad.set_model("nope");
  *bad.add_images() = RawImage(32, 'a');
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Extract(good).ok());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Extract(bad).ok());
  const std::string text = metrics_.Scrape();
  EXPECT_THAT(text, HasSubstr(Counted("OK", "ExtractFeatures", kFake, 5)));
  EXPECT_THAT(text, HasSubstr(Counted("NOT_FOUND", "ExtractFeatures", kNone, 3)));
  EXPECT_THAT(text, Not(HasSubstr("nope")));
}

TEST_F(ServiceTest, CallsAndStreamsCountUnderTheirModel) {
  Make();
  v1::ExtractFeaturesRequest request;
  *request.add_images() = RawImage(32, 'a');
  EXPECT_TRUE(Extract(request).ok());
  request.add_heads()->mutable_gem()->set_p(-1);  // its model is known by then
  EXPECT_FALSE(Extract(request).ok());
  grpc::ClientContext context;
  auto stream = stub_->StreamFeatures(&context);
  v1::StreamFeaturesRequest message;
  message.mutable_config()->set_model("nope");
  *message.mutable_image() = RawImage(32, 'a');
  v1::StreamFeaturesResponse response;
  stream->Write(message);
  EXPECT_TRUE(stream->Read(&response));
  message.mutable_config()->set_model("fake");
  stream->Write(message);
  EXPECT_TRUE(stream->Read(&response));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  server_->Shutdown(absl::Seconds(5));  // waits for the last to be counted
  server_.reset();
  const std::string text = metrics_.Scrape();
  EXPECT_THAT(text, HasSubstr(Counted("OK", "ExtractFeatures", kFake, 1)));
  EXPECT_THAT(text, HasSubstr(Counted("INVALID_ARGUMENT", "ExtractFeatures", kFake, 1)));
  EXPECT_THAT(text, HasSubstr(Counted("OK", "StreamFeatures", kFake, 1)));
  EXPECT_THAT(text, HasSubstr("pixpool_images_total{model=\"fake\",outcome=\"ok\",reason=\"none\","
                              "version=\"1\"} 2\n"));
}

TEST_F(ServiceTest, MessagesThatAreTooLargeAreCountedAsWhatTheyAre) {
  const int kCalls = 20;
  Make({}, {.max_message_bytes = 10'000});
  const std::string large(100'000, 'x');
  for (int i = 0; i < kCalls; ++i) {
    v1::ExtractFeaturesRequest request;
    request.set_request_id(large);
    EXPECT_EQ(Extract(request).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareCall(&context, "/pixpool.v1.FeatureService/GetModel", &queue);
    grpc::Status status;
    const auto wait = [&queue] {
      void* tag = nullptr;
      bool ok = false;
      ASSERT_TRUE(queue.Next(&tag, &ok));
    };
    call->StartCall(nullptr);
    wait();
    call->WritesDone(nullptr);
    wait();
    call->Finish(&status, nullptr);
    wait();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << "no message";
  }
  for (int i = 0; i < kCalls; ++i) {
    grpc::ClientContext context, good_context;
    auto stream = stub_->StreamFeatures(&context);
    v1::StreamFeaturesRequest request;
    *request.mutable_image() = RawImage(32, 'a');
    stream->Write(request);
    v1::StreamFeaturesResponse response;
    EXPECT_TRUE(stream->Read(&response));
    request.mutable_image()->set_image_id(large);
    stream->Write(request);
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    auto good = stub_->StreamFeatures(&good_context);
    good->WritesDone();
    EXPECT_TRUE(good->Finish().ok());
  }
  server_->Shutdown(absl::Seconds(5));  // waits for the last to be counted
  server_.reset();
  const std::string text = metrics_.Scrape();
  const auto counted = [kCalls](const char* code, const char* method) {
    return HasSubstr(Counted(code, method, kNone, kCalls));
  };
  EXPECT_THAT(text, counted("RESOURCE_EXHAUSTED", "ExtractFeatures"));
  EXPECT_THAT(text, counted("INVALID_ARGUMENT", "GetModel"));
  EXPECT_THAT(text, HasSubstr(Counted("CANCELLED", "StreamFeatures", kFake, kCalls)));
  EXPECT_THAT(text, counted("OK", "StreamFeatures"));
}

// Sends one empty message to any method, reads whatever comes, and gives the status.
grpc::StatusCode CallWithNothing(const std::shared_ptr<grpc::Channel>& channel,
                                 const std::string& method) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  grpc::CompletionQueue queue;
  const auto done = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  done();
  const grpc::Slice nothing;
  call->WriteLast(grpc::ByteBuffer(&nothing, 1), {}, nullptr);
  done();
  grpc::ByteBuffer reply;
  do call->Read(&reply, nullptr);
  while (done());
  grpc::Status status;
  call->Finish(&status, nullptr);
  done();
  return status.error_code();
}

TEST_F(ServiceTest, EveryCallOfTheApiIsAnsweredAndCountedUnderItsName) {
  Make();
  const auto& service =
      *v1::GetModelRequest::descriptor()->file()->FindServiceByName("FeatureService");
  for (int i = 0; i < service.method_count(); ++i) {
    const std::string& name = service.method(i)->name();
    EXPECT_NE(CallWithNothing(channel_, "/" + service.full_name() + "/" + name),
              grpc::StatusCode::UNIMPLEMENTED)
        << name << " needs its method in FeatureService";
    // A stream counts when gRPC is done with it, which may be after its client has its status.
    const std::string counted = "pixpool_request_duration_seconds_count{method=\"" + name + "\"," +
                                (name == "ExtractFeatures" ? kFake : kNone) +
                                "} 1\n";  // of the default model
    for (int t = 0; t < 500 && !absl::StrContains(metrics_.Scrape(), counted); ++t) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_THAT(metrics_.Scrape(), HasSubstr(counted));
  }
}

TEST_F(ServiceTest, PortInUseIsOneClearError) {
  Make();
  const std::string taken = server_->addresses().front();
  const auto second = StartGrpcServer({.listen = taken}, {service_.get()}, &metrics_);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(taken));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("--listen"));
}

}  // namespace
}  // namespace pixpool
