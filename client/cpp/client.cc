#include "client/cpp/client.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "client/cpp/core.h"
#include "client/cpp/error.h"
#include "client/cpp/unary_call.h"
#include "grpcpp/create_channel.h"

namespace pixpool::client {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// Servers take more pings than this for an attack.
constexpr absl::Duration kShortestKeepalive = absl::Seconds(10);
constexpr int kKeepaliveTimeoutMs = 10000;

absl::Status CheckOptions(const ClientOptions& options) {
  if (options.target.empty()) {
    return absl::InvalidArgumentError("target must not be empty; give host:port");
  }
  if (options.deadline <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("deadline must be above 0, is ", absl::FormatDuration(options.deadline)));
  }
  if (options.max_response_bytes < 1 ||
      options.max_response_bytes > std::numeric_limits<int>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_response_bytes must be between 1 and 2147483647, is ", options.max_response_bytes));
  }
  if (options.keepalive < kShortestKeepalive) {
    return absl::InvalidArgumentError(
        absl::StrCat("keepalive must be at least ", absl::FormatDuration(kShortestKeepalive),
                     ", is ", absl::FormatDuration(options.keepalive)));
  }
  return CheckRetryPolicy(options.retry);
}

grpc::ChannelArguments ChannelArgs(const ClientOptions& options, const internal::Entry& entry) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(static_cast<int>(options.max_response_bytes));
  args.SetMaxSendMessageSize(-1);
  args.SetUserAgentPrefix("pixpool-cpp");
  entry.SetArguments(&args);
  if (options.round_robin) args.SetLoadBalancingPolicyName("round_robin");
  // gRPC waits a second before it connects anew, and fails all calls meanwhile without trying:
  // longer than our retries last. Connect as often as we retry.
  const auto ms = [](absl::Duration d) {
    return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(d), 100, 60000));
  };
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, ms(options.retry.initial_backoff));
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);  // how long one connection attempt may take
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, ms(options.retry.max_backoff));
  if (options.keepalive < absl::InfiniteDuration()) {
    args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                static_cast<int>(std::min(absl::ToInt64Milliseconds(options.keepalive),
                                          int64_t{std::numeric_limits<int>::max()})));
    args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
    // gRPC stops after two pings between which nothing was sent: a stream may wait longer.
    args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  }
  return args;
}

// The request with the client's priority where it names none.
template <typename Request>
Request WithPriority(const ClientOptions& options, Request request) {
  if (request.priority() == v1::PRIORITY_UNSPECIFIED) request.set_priority(options.priority);
  return request;
}

// Starts `method` of the stub and blocks until it is done.
template <typename Request, typename Response>
absl::StatusOr<Response> Wait(internal::Core* core, const RetryPolicy& policy,
                              absl::Duration timeout,
                              typename internal::UnaryCall<Request, Response>::Method method,
                              Request request) {
  struct State {
    absl::StatusOr<Response> result;
    absl::Notification done;
  };
  auto state = std::make_shared<State>();
  std::make_shared<internal::UnaryCall<Request, Response>>(
      core, policy, timeout, std::move(method), std::move(request),
      [state](absl::StatusOr<Response> result) {
        state->result = std::move(result);
        state->done.Notify();
      })
      ->Start();
  state->done.WaitForNotification();
  return std::move(state->result);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Create(ClientOptions options) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  auto entry = internal::Entry::Make(options.access, options.target, options.credentials);
  if (!entry.ok()) return entry.status();
  const auto channel = grpc::CreateCustomChannel(options.target, (*entry)->credentials(),
                                                 ChannelArgs(options, **entry));
  auto core = std::make_unique<internal::Core>(options, *std::move(entry));
  core->timer = options.timer != nullptr ? options.timer : Timer::Real();
  core->features = v1::FeatureService::NewStub(channel);
  core->health = grpc::health::v1::Health::NewStub(channel);
  return std::unique_ptr<Client>(new Client(std::move(core)));
}

Client::Client(std::unique_ptr<internal::Core> core) : core_(std::move(core)) {}
Client::~Client() = default;

absl::StatusOr<v1::ExtractFeaturesResponse> Client::Extract(
    v1::ExtractFeaturesRequest request) const {
  return Extract(std::move(request), core_->options.deadline);
}

absl::StatusOr<v1::ExtractFeaturesResponse> Client::Extract(v1::ExtractFeaturesRequest request,
                                                            absl::Duration timeout) const {
  return Wait<v1::ExtractFeaturesRequest, v1::ExtractFeaturesResponse>(
      core_.get(), core_->options.retry, timeout,
      [stub = core_->features->async()](auto... args) {
        stub->ExtractFeatures(std::move(args)...);
      },
      WithPriority(core_->options, std::move(request)));
}

void Client::ExtractAsync(v1::ExtractFeaturesRequest request, ExtractCallback done) const {
  ExtractAsync(std::move(request), core_->options.deadline, std::move(done));
}

void Client::ExtractAsync(v1::ExtractFeaturesRequest request, absl::Duration timeout,
                          ExtractCallback done) const {
  std::make_shared<internal::UnaryCall<v1::ExtractFeaturesRequest, v1::ExtractFeaturesResponse>>(
      core_.get(), core_->options.retry, timeout,
      [stub = core_->features->async()](auto... args) {
        stub->ExtractFeatures(std::move(args)...);
      },
      WithPriority(core_->options, std::move(request)), std::move(done))
      ->Start();
}

absl::StatusOr<v1::PoolTensorResponse> Client::PoolTensor(v1::PoolTensorRequest request) const {
  return PoolTensor(std::move(request), core_->options.deadline);
}

absl::StatusOr<v1::PoolTensorResponse> Client::PoolTensor(v1::PoolTensorRequest request,
                                                          absl::Duration timeout) const {
  return Wait<v1::PoolTensorRequest, v1::PoolTensorResponse>(
      core_.get(), core_->options.retry, timeout,
      [stub = core_->features->async()](auto... args) { stub->PoolTensor(std::move(args)...); },
      WithPriority(core_->options, std::move(request)));
}

absl::StatusOr<v1::ListModelsResponse> Client::ListModels() const {
  return Wait<v1::ListModelsRequest, v1::ListModelsResponse>(
      core_.get(), core_->options.retry, core_->options.deadline,
      [stub = core_->features->async()](auto... args) { stub->ListModels(std::move(args)...); },
      {});
}

absl::StatusOr<v1::Model> Client::GetModel(const std::string& name,
                                           const std::string& version) const {
  v1::GetModelRequest request;
  request.set_model(name);
  request.set_model_version(version);
  auto response = Wait<v1::GetModelRequest, v1::GetModelResponse>(
      core_.get(), core_->options.retry, core_->options.deadline,
      [stub = core_->features->async()](auto... args) { stub->GetModel(std::move(args)...); },
      std::move(request));
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_model());
}

absl::StatusOr<Health> Client::CheckHealth(const std::string& service) const {
  return CheckHealth(service, core_->options.deadline);
}

absl::StatusOr<Health> Client::CheckHealth(const std::string& service,
                                           absl::Duration timeout) const {
  HealthCheckRequest request;
  request.set_service(service);
  RetryPolicy once = core_->options.retry;
  once.max_attempts = 1;
  const auto response = Wait<HealthCheckRequest, HealthCheckResponse>(
      core_.get(), once, timeout,
      [stub = core_->health->async()](auto... args) { stub->Check(std::move(args)...); },
      std::move(request));
  if (!response.ok()) return response.status();
  switch (response->status()) {
    case HealthCheckResponse::SERVING:
      return Health::kServing;
    case HealthCheckResponse::NOT_SERVING:
      return Health::kNotServing;
    default:
      return Health::kUnknown;
  }
}

absl::Status Client::WaitUntilReady(absl::Duration timeout, const std::string& service) const {
  const absl::Time end = core_->timer->Now() + timeout;
  absl::Duration pause = absl::Milliseconds(100);
  while (true) {
    const absl::Duration remaining = end - core_->timer->Now();
    // Always asks once, so that a timeout of 0 means "now".
    const absl::Duration patience =
        std::min(std::max(remaining, absl::Milliseconds(100)), core_->options.deadline);
    const absl::StatusOr<Health> health = CheckHealth(service, patience);
    if (health.ok() && *health == Health::kServing) return absl::OkStatus();
    const bool may_pass = health.ok() || absl::IsUnavailable(health.status()) ||
                          absl::IsDeadlineExceeded(health.status());
    if (!may_pass) return health.status();
    if (core_->timer->Now() + pause >= end) {
      return absl::DeadlineExceededError(
          absl::StrCat("not ready after ", absl::FormatDuration(timeout), ": ",
                       health.ok() ? "the server answers, and says that it does not serve"
                                   : Describe(health.status())));
    }
    core_->timer->Sleep(pause);
    pause = std::min(pause * 2, absl::Seconds(1));
  }
}

}  // namespace pixpool::client
