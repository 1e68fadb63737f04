#include "client/bench/null_server.h"

#include <chrono>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "inference/grpc_service.pb.h"

namespace pixpool::bench {
namespace {

constexpr int kValues = 1280;

v1::ImageResult MakeResult() {
  v1::ImageResult result;
  v1::HeadResult& head = *result.mutable_features()->add_head_results();
  head.set_head_id("global_avg");
  head.add_shape(kValues);
  for (int i = 0; i < kValues; ++i) head.add_values(static_cast<float>(i));
  result.mutable_features()->mutable_stage_times();
  return result;
}

std::string MakeResponse(const WorkloadOptions& options) {
  if (options.api == Api::kKserve) {
    inference::ModelInferResponse response;
    auto& output = *response.add_outputs();
    output.set_name("global_avg");
    output.set_datatype("FP32");
    output.add_shape(options.batch);
    output.add_shape(kValues);
    response.add_raw_output_contents(
        std::string(sizeof(float) * kValues * static_cast<size_t>(options.batch), '\1'));
    if (!options.stream) return response.SerializeAsString();
    inference::ModelStreamInferResponse wrapped;
    *wrapped.mutable_infer_response() = std::move(response);
    return wrapped.SerializeAsString();
  }
  if (options.stream) {
    v1::StreamFeaturesResponse response;
    *response.mutable_result() = MakeResult();
    return response.SerializeAsString();
  }
  v1::ExtractFeaturesResponse response;
  for (int i = 0; i < options.batch; ++i) *response.add_results() = MakeResult();
  response.mutable_stage_times();
  return response.SerializeAsString();
}

// A varint field 2 with the index of a stream's picture goes into the result, which is field 1; a
// field that comes twice is merged, so the index may follow as a second result.
std::string IndexPart(int64_t index) {
  v1::StreamFeaturesResponse part;
  part.mutable_result()->set_index(index);
  return part.SerializeAsString();
}

// One call. A unary one is a stream with one message each way. Owns itself until OnDone.
class Reactor final : public grpc::ServerGenericBidiReactor {
 public:
  Reactor(const grpc::Slice& response, const WorkloadOptions& options)
      : response_(response), options_(options) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    if (!ok) {
      ended_ = true;
      if (!writing_) Finish(grpc::Status::OK);
      return;
    }
    // The first message of one of our streams holds the settings alone.
    const bool settings =
        options_.stream && options_.api == Api::kPixpool && !std::exchange(configured_, true);
    if (!settings) ++owed_;
    Write();
    if (options_.stream) StartRead(&request_);
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    if (!options_.stream || !ok || (ended_ && owed_ == 0)) {
      if (!options_.stream || ended_) Finish(grpc::Status::OK);
      return;
    }
    Write();
  }

  void OnDone() override { delete this; }

 private:
  void Write() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (writing_ || owed_ == 0) return;
    writing_ = true;
    --owed_;
    if (options_.stream && options_.api == Api::kPixpool) {
      const grpc::Slice parts[] = {response_, ToSlice(IndexPart(index_++))};
      answer_ = grpc::ByteBuffer(parts, 2);
    } else {
      answer_ = grpc::ByteBuffer(&response_, 1);
    }
    StartWrite(&answer_);
  }

  const grpc::Slice response_;
  const WorkloadOptions& options_;
  absl::Mutex mu_;
  bool configured_ ABSL_GUARDED_BY(mu_) = false;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  int64_t owed_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t index_ ABSL_GUARDED_BY(mu_) = 0;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer answer_;
};

class Server final : public NullServer, private grpc::CallbackGenericService {
 public:
  explicit Server(const WorkloadOptions& options)
      : options_(options), response_(ToSlice(MakeResponse(options))) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.SetMaxReceiveMessageSize(-1);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  ~Server() override {
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
  }

  bool running() const { return server_ != nullptr; }
  std::string target() const override { return absl::StrCat("127.0.0.1:", port_); }

 private:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new Reactor(response_, options_);
  }

  const WorkloadOptions options_;
  const grpc::Slice response_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<NullServer>> NullServer::Start(const Workload& workload) {
  auto server = std::make_unique<Server>(workload.options());
  if (!server->running()) return absl::UnavailableError("no port for the server of --self-test");
  return std::unique_ptr<NullServer>(std::move(server));
}

}  // namespace pixpool::bench
