// Doubles for the tests of the client: a timer that never waits and a server that says what a test
// tells it to.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "client/cpp/timer.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "pixpool/v1/feature_service.grpc.pb.h"

namespace pixpool::client {

// Runs everything at once, as if the delay had passed, and remembers the delays. Thread-safe.
class FakeTimer final : public Timer {
 public:
  absl::Time Now() override {
    absl::MutexLock lock(&mu_);
    return now_;
  }

  void After(absl::Duration delay, std::function<void()> f) override {
    {
      absl::MutexLock lock(&mu_);
      now_ += delay;
      delays_.push_back(delay);
    }
    f();
  }

  void Advance(absl::Duration d) {
    absl::MutexLock lock(&mu_);
    now_ += d;
  }

  std::vector<absl::Duration> delays() {
    absl::MutexLock lock(&mu_);
    return delays_;
  }

 private:
  absl::Mutex mu_;
  absl::Time now_ = absl::FromUnixSeconds(1000000000);
  std::vector<absl::Duration> delays_;
};

// An error as a pixpool server makes it.
inline google::rpc::Status RpcError(grpc::StatusCode code, const std::string& message,
                                    const std::string& reason, const std::string& field = "",
                                    int retry_after_ms = -1) {
  google::rpc::Status status;
  status.set_code(code);
  status.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("pixpool.v1.FeatureService");
  info.mutable_metadata()->insert({"limit", "7"});
  status.add_details()->PackFrom(info);
  if (!field.empty()) {
    google::rpc::BadRequest bad;
    bad.add_field_violations()->set_field(field);
    bad.mutable_field_violations(0)->set_description(message);
    status.add_details()->PackFrom(bad);
  }
  if (retry_after_ms >= 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_after_ms / 1000);
    retry.mutable_retry_delay()->set_nanos(retry_after_ms % 1000 * 1000000);
    status.add_details()->PackFrom(retry);
  }
  return status;
}

inline grpc::Status CallError(grpc::StatusCode code, const std::string& message,
                              const std::string& reason, const std::string& field = "",
                              int retry_after_ms = -1) {
  return grpc::Status(code, message,
                      RpcError(code, message, reason, field, retry_after_ms).SerializeAsString());
}

// A real gRPC server on a free loopback port whose answers a test scripts. Handlers run on gRPC's
// threads. Those that are not set answer UNIMPLEMENTED. The destructor ends all calls and waits for
// the handlers.
class FakeServer final : private v1::FeatureService::Service {
 public:
  using Stream = grpc::ServerReaderWriter<v1::StreamFeaturesResponse, v1::StreamFeaturesRequest>;

  std::function<grpc::Status(grpc::ServerContext&, const v1::ExtractFeaturesRequest&,
                             v1::ExtractFeaturesResponse&)>
      on_extract;
  std::function<grpc::Status(Stream&)> on_stream;
  std::function<grpc::Status(const v1::PoolTensorRequest&, v1::PoolTensorResponse&)> on_pool;
  std::function<grpc::Status(v1::ListModelsResponse&)> on_list;
  std::function<grpc::Status(const v1::GetModelRequest&, v1::GetModelResponse&)> on_get;

  FakeServer() {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.SetMaxReceiveMessageSize(1 << 20);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string target() const { return "127.0.0.1:" + std::to_string(port_); }
  void SetHealth(const std::string& service, bool serving) {
    server_->GetHealthCheckService()->SetServingStatus(service, serving);
  }

 private:
  static grpc::Status Unset() {
    return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "no answer was scripted");
  }
  grpc::Status ExtractFeatures(grpc::ServerContext* context, const v1::ExtractFeaturesRequest* in,
                               v1::ExtractFeaturesResponse* out) override {
    return on_extract ? on_extract(*context, *in, *out) : Unset();
  }
  grpc::Status StreamFeatures(grpc::ServerContext*, Stream* stream) override {
    return on_stream ? on_stream(*stream) : Unset();
  }
  grpc::Status PoolTensor(grpc::ServerContext*, const v1::PoolTensorRequest* in,
                          v1::PoolTensorResponse* out) override {
    return on_pool ? on_pool(*in, *out) : Unset();
  }
  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                          v1::ListModelsResponse* out) override {
    return on_list ? on_list(*out) : Unset();
  }
  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest* in,
                        v1::GetModelResponse* out) override {
    return on_get ? on_get(*in, *out) : Unset();
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

// Nothing listens there.
inline constexpr char kNobody[] = "127.0.0.1:1";

}  // namespace pixpool::client
