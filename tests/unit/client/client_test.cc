#include "client/cpp/client.h"

#include <atomic>
#include <deque>

#include "absl/synchronization/notification.h"
#include "client/cpp/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/client/fakes.h"

namespace pixpool::client {
namespace {

using grpc::StatusCode;
using testing::ElementsAre;
using testing::HasSubstr;

// A client of a server that answers ExtractFeatures with `script`, one entry an attempt, and OK
// after that.
class ClientTest : public testing::Test {
 protected:
  void SetUp() override {
    server_.on_extract = [this](grpc::ServerContext& context, const v1::ExtractFeaturesRequest& in,
                                v1::ExtractFeaturesResponse& out) {
      const int attempt = attempts_++;
      deadline_ = absl::FromChrono(context.deadline()) - absl::Now();
      const auto trace = context.client_metadata().find("traceparent");
      if (trace != context.client_metadata().end()) {
        traces_.emplace_back(trace->second.data(), trace->second.size());
      }
      out.mutable_model()->set_name(in.request_id());
      if (attempt >= static_cast<int>(script_.size())) return grpc::Status::OK;
      if (!pushback_.empty()) context.AddTrailingMetadata("grpc-retry-pushback-ms", pushback_);
      return script_[attempt];
    };
  }

  std::unique_ptr<Client> NewClient(ClientOptions options = {}) {
    options.target = server_.target();
    options.timer = &timer_;
    options.retry.jitter = 0;
    auto client = Client::Create(options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  static v1::ExtractFeaturesRequest Request() {
    v1::ExtractFeaturesRequest request;
    request.set_request_id("r7");
    return request;
  }

  FakeTimer timer_;
  std::deque<grpc::Status> script_;
  std::string pushback_;
  std::atomic<int> attempts_ = 0;
  absl::Duration deadline_;
  std::vector<std::string> traces_;  // `traceparent` of the attempts that had one
  FakeServer server_;                // last: its handlers use the rest
};

TEST_F(ClientTest, ExtractReturnsTheAnswer) {
  const auto response = NewClient()->Extract(Request());
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->model().name(), "r7");
  EXPECT_EQ(attempts_, 1);
  // The default deadline travels with the call.
  EXPECT_GT(deadline_, absl::Seconds(5));
  EXPECT_LE(deadline_, absl::Seconds(11));  // gRPC rounds up what it sends
}

TEST_F(ClientTest, BacksOffByReasonUntilItSucceeds) {
  script_ = {CallError(StatusCode::UNAVAILABLE, "loading", "MODEL_LOADING"),
             CallError(StatusCode::UNAVAILABLE, "draining", "DRAINING")};
  const auto response = NewClient()->Extract(Request());
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->model().name(), "r7");
  EXPECT_THAT(timer_.delays(), ElementsAre(absl::Milliseconds(100), absl::Milliseconds(200)));
}

TEST_F(ClientTest, WaitsAsLongAsRetryInfoSays) {
  script_ = {CallError(StatusCode::UNAVAILABLE, "full", "OVERLOADED", "", 1234)};
  EXPECT_TRUE(NewClient()->Extract(Request()).ok());
  EXPECT_THAT(timer_.delays(), ElementsAre(absl::Milliseconds(1234)));
}

TEST_F(ClientTest, WaitsAsLongAsTheTrailerSays) {
  pushback_ = "321";
  script_ = {CallError(StatusCode::UNAVAILABLE, "full", "OVERLOADED")};
  EXPECT_TRUE(NewClient()->Extract(Request()).ok());
  EXPECT_THAT(timer_.delays(), ElementsAre(absl::Milliseconds(321)));
}

TEST_F(ClientTest, NegativePushbackMeansDoNotRetry) {
  pushback_ = "-1";
  script_ = {CallError(StatusCode::UNAVAILABLE, "full", "OVERLOADED")};
  EXPECT_TRUE(absl::IsUnavailable(NewClient()->Extract(Request()).status()));
  EXPECT_EQ(attempts_, 1);
}

TEST_F(ClientTest, NeverRetriesWhatCannotPass) {
  for (const StatusCode code :
       {StatusCode::INVALID_ARGUMENT, StatusCode::RESOURCE_EXHAUSTED, StatusCode::DEADLINE_EXCEEDED,
        StatusCode::INTERNAL, StatusCode::NOT_FOUND}) {
    attempts_ = 0;
    script_ = {CallError(code, "no", "LIMIT_EXCEEDED", "images")};
    const absl::Status status = NewClient()->Extract(Request()).status();
    EXPECT_EQ(static_cast<int>(status.code()), static_cast<int>(code));
    EXPECT_EQ(GetErrorDetails(status).reason, "LIMIT_EXCEEDED");
    EXPECT_EQ(attempts_, 1);
  }
  EXPECT_TRUE(timer_.delays().empty());
}

TEST_F(ClientTest, GivesUpAfterMaxAttemptsWithTheLastError) {
  script_.assign(10, CallError(StatusCode::UNAVAILABLE, "full", "OVERLOADED", "", 10));
  const absl::Status status =
      NewClient({.retry = {.max_attempts = 3}})->Extract(Request()).status();
  EXPECT_EQ(Describe(status), "UNAVAILABLE (OVERLOADED): full");
  EXPECT_EQ(attempts_, 3);
}

TEST_F(ClientTest, GivesUpWhenTheDeadlineWouldPass) {
  script_.assign(10, CallError(StatusCode::UNAVAILABLE, "full", "OVERLOADED", "", 4000));
  const absl::Status status = NewClient()->Extract(Request()).status();
  EXPECT_EQ(GetErrorDetails(status).reason, "OVERLOADED");
  EXPECT_EQ(attempts_, 3);  // at 0, 4 and 8 s of 10
}

TEST_F(ClientTest, OversizedRequestIsNotRetried) {
  v1::ExtractFeaturesRequest request;
  request.add_images()->set_encoded(std::string(2 << 20, 'x'));  // the fake server takes 1 MiB
  EXPECT_TRUE(absl::IsResourceExhausted(NewClient()->Extract(request).status()));
  EXPECT_EQ(attempts_, 0);
  EXPECT_TRUE(timer_.delays().empty());
}

TEST_F(ClientTest, OversizedResponseIsRefused) {
  v1::ExtractFeaturesRequest request;
  request.set_request_id(std::string(5000, 'x'));
  EXPECT_TRUE(absl::IsResourceExhausted(
      NewClient({.max_response_bytes = 1000})->Extract(request).status()));
}

TEST_F(ClientTest, ManyAsyncCallsRunTheirCallbacksOnce) {
  constexpr int kCalls = 50;
  const auto client = NewClient();
  std::atomic<int> done = 0;
  absl::Notification all;
  for (int i = 0; i < kCalls; ++i) {
    client->ExtractAsync(Request(), [&](absl::StatusOr<v1::ExtractFeaturesResponse> response) {
      EXPECT_TRUE(response.ok()) << response.status();
      if (++done == kCalls) all.Notify();
    });
  }
  all.WaitForNotification();
  EXPECT_EQ(attempts_, kCalls);
}

TEST_F(ClientTest, DestructorWaitsForCallsAndTheirRetries) {
  script_ = {CallError(StatusCode::UNAVAILABLE, "loading", "MODEL_LOADING")};
  for (int i = 0; i < 50; ++i) {
    attempts_ = 0;
    bool finished = false;
    NewClient()->ExtractAsync(Request(), [&](absl::StatusOr<v1::ExtractFeaturesResponse> response) {
      EXPECT_TRUE(response.ok()) << response.status();
      finished = true;
    });
    EXPECT_TRUE(finished);
    EXPECT_EQ(attempts_, 2);
  }
}

TEST_F(ClientTest, PoolTensorSendsTheTensorAndRetries) {
  int attempts = 0;
  server_.on_pool = [&](const v1::PoolTensorRequest& in, v1::PoolTensorResponse& out) {
    if (++attempts == 1) return CallError(StatusCode::UNAVAILABLE, "", "OVERLOADED", "", 1234);
    *out.add_results()->add_head_results()->mutable_values() = in.tensor().values();
    return grpc::Status::OK;
  };
  v1::PoolTensorRequest request;
  request.mutable_tensor()->add_values(7);
  const auto response = NewClient()->PoolTensor(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_THAT(response->results(0).head_results(0).values(), ElementsAre(7));
  EXPECT_THAT(timer_.delays(), ElementsAre(absl::Milliseconds(1234)));
  // The wait that the server asks for would outlast this call.
  attempts = 0;
  const absl::Status status = NewClient()->PoolTensor(request, absl::Seconds(1)).status();
  EXPECT_EQ(GetErrorDetails(status).reason, "OVERLOADED");
  EXPECT_EQ(attempts, 1);
}

TEST_F(ClientTest, PoolTensorErrorsNameTheField) {
  server_.on_pool = [](const v1::PoolTensorRequest&, v1::PoolTensorResponse&) {
    return CallError(StatusCode::INVALID_ARGUMENT, "padding is 4", "HEAD_INVALID",
                     "heads[0].max_pool.padding");
  };
  EXPECT_EQ(Describe(NewClient()->PoolTensor({}).status()),
            "INVALID_ARGUMENT (HEAD_INVALID): padding is 4 [heads[0].max_pool.padding]");
}

TEST_F(ClientTest, ModelsAreListedAndShown) {
  server_.on_list = [](v1::ListModelsResponse& out) {
    out.add_models()->set_name("a");
    return grpc::Status::OK;
  };
  server_.on_get = [](const v1::GetModelRequest& in, v1::GetModelResponse& out) {
    if (in.model() != "a") {
      return CallError(StatusCode::NOT_FOUND, "no model b", "MODEL_NOT_FOUND", "model");
    }
    out.mutable_model()->set_version(in.model_version());
    return grpc::Status::OK;
  };
  const auto client = NewClient();
  EXPECT_EQ(client->ListModels()->models(0).name(), "a");
  EXPECT_EQ(client->GetModel("a", "7")->version(), "7");
  EXPECT_EQ(GetErrorDetails(client->GetModel("b").status()).reason, "MODEL_NOT_FOUND");
}

TEST_F(ClientTest, HealthOfServerAndModel) {
  server_.SetHealth("ready", true);
  server_.SetHealth("loading", false);
  const auto client = NewClient();
  EXPECT_EQ(*client->CheckHealth(), Health::kServing);
  EXPECT_EQ(*client->CheckHealth("ready"), Health::kServing);
  EXPECT_EQ(*client->CheckHealth("loading"), Health::kNotServing);
  EXPECT_TRUE(absl::IsNotFound(client->CheckHealth("other").status()));
}

TEST_F(ClientTest, WaitUntilReady) {
  const auto client = NewClient();
  server_.SetHealth("m", true);
  EXPECT_TRUE(client->WaitUntilReady(absl::ZeroDuration(), "m").ok());
  EXPECT_TRUE(absl::IsNotFound(client->WaitUntilReady(absl::Seconds(5), "other")));
  EXPECT_TRUE(timer_.delays().empty());

  server_.SetHealth("m", false);
  const absl::Status status = client->WaitUntilReady(absl::Seconds(3), "m");
  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("not ready after 3s"));
  EXPECT_THAT(timer_.delays(),
              ElementsAre(absl::Milliseconds(100), absl::Milliseconds(200), absl::Milliseconds(400),
                          absl::Milliseconds(800), absl::Seconds(1)));
}

TEST(ClientNobodyTest, ConnectionFailuresAreRetriedThenReported) {
  FakeTimer timer;
  const auto client = Client::Create({.target = kNobody, .retry = {.jitter = 0}, .timer = &timer});
  const absl::Status status = (*client)->Extract({}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(GetErrorDetails(status).reason, "");
  EXPECT_THAT(timer.delays(), ElementsAre(absl::Milliseconds(100), absl::Milliseconds(200),
                                          absl::Milliseconds(400), absl::Milliseconds(800)));
}

TEST(ClientNobodyTest, OptionsAreChecked) {
  const auto message = [](ClientOptions options) {
    return std::string(Client::Create(std::move(options)).status().message());
  };
  EXPECT_THAT(message({.target = ""}), HasSubstr("target"));
  EXPECT_THAT(message({.deadline = absl::ZeroDuration()}), HasSubstr("deadline must be above 0"));
  EXPECT_THAT(message({.retry = {.max_attempts = 0}}), HasSubstr("max_attempts"));
  EXPECT_THAT(message({.keepalive = absl::Seconds(9)}),
              HasSubstr("keepalive must be at least 10s"));
  EXPECT_EQ(message({.keepalive = absl::InfiniteDuration()}), "");
  EXPECT_THAT(message({.max_response_bytes = int64_t{1} << 31}), HasSubstr("max_response_bytes"));
}

TEST_F(ClientTest, HeadersAreAskedForOnceACallAndSentWithEveryAttempt) {
  script_ = {CallError(StatusCode::UNAVAILABLE, "full", "OVERLOADED")};
  int asked = 0;
  const auto client = NewClient({.headers = [&] {
    return Headers{{"traceparent", "t" + std::to_string(++asked)}};
  }});
  EXPECT_TRUE(client->Extract(Request()).ok());
  EXPECT_TRUE(client->Extract(Request()).ok());
  EXPECT_THAT(traces_, ElementsAre("t1", "t1", "t2"));
}

TEST_F(ClientTest, HeadersThatCannotBeSentFailTheCall) {
  const std::pair<Headers, const char*> cases[] = {
      {{{"Authorization", "x"}}, "lower-case"},
      {{{"", "x"}}, "lower-case"},
      {{{"grpc-timeout", "1S"}}, "gRPC's own"},
      {{{"ok", "y"}, {"token", "two\nlines"}}, "'token'"},
  };
  for (const auto& [headers, message] : cases) {
    const auto client = NewClient({.headers = [&headers = headers] { return headers; }});
    const absl::Status status = client->Extract(Request()).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }
  EXPECT_EQ(attempts_, 0);
  const auto binary = NewClient({.headers = [] { return Headers{{"some-bin", "\n\x80"}}; }});
  EXPECT_TRUE(binary->Extract(Request()).ok());
}

TEST_F(ClientTest, RoundRobinWorks) {
  EXPECT_TRUE(NewClient({.round_robin = true})->Extract(Request()).ok());
}

}  // namespace
}  // namespace pixpool::client
