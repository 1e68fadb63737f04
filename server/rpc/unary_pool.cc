#include "server/rpc/unary_pool.h"

#include <memory>
#include <utility>

#include "server/base/status_macros.h"
#include "server/rpc/head_convert.h"
#include "server/rpc/status.h"

namespace pixpool {
namespace {

// The native form of a request; views into it.
absl::StatusOr<PoolRequest> PoolRequestFromProto(const v1::PoolTensorRequest& request) {
  PoolRequest out;
  PIXPOOL_ASSIGN_OR_RETURN(out.heads, HeadsFromProto(request.heads()));
  const auto& tensor = request.tensor();
  out.shape.assign(tensor.shape().begin(), tensor.shape().end());
  out.values = {tensor.values().data(), static_cast<size_t>(tensor.values_size())};
  out.indices = {request.indices().data(), static_cast<size_t>(request.indices_size())};
  return out;
}

void PoolResultToProto(PoolResult&& result, v1::PoolTensorResponse* out) {
  for (std::vector<HeadOutput>& map : result.maps) {
    v1::PooledMap* pooled = out->add_results();
    for (size_t h = 0; h < map.size(); ++h) {
      HeadOutputToProto(result.heads[h], /*labels=*/{}, std::move(map[h]),
                        pooled->add_head_results());
    }
  }
}

class UnaryPool final : public grpc::ServerUnaryReactor {
 public:
  UnaryPool(const CallOptions& options, Engine* engine, Metrics* metrics, const Clock* clock,
            grpc::CallbackServerContext* context, const v1::PoolTensorRequest* request,
            v1::PoolTensorResponse* response)
      : engine_(engine),
        metrics_(metrics),
        clock_(clock),
        context_(context),
        request_(request),
        response_(response),
        call_(std::make_shared<CallContext>(CallDeadline(
            context->deadline(), std::chrono::system_clock::now(), clock->Now(), options))),
        record_(RpcMethod::kPoolTensor, context->peer(), metrics, clock) {}

  void Start() {
    auto request = PoolRequestFromProto(*request_);
    record_.Note("heads", request_->heads_size());
    record_.Note("values", request_->tensor().values_size());
    if (!request.ok()) return End(request.status());
    request->context = call_;
    engine_->Pool(*std::move(request), [this](PoolResult result) { Reply(std::move(result)); });
  }

  void OnCancel() override { call_->Cancel(); }
  void OnDone() override { delete this; }

 private:
  void Reply(PoolResult result) {
    if (!result.status.ok()) return End(result.status);
    const TimePoint start = clock_->Now();
    PoolResultToProto(std::move(result), response_);
    metrics_->StageTime(Stage::kConvert, ToSeconds(clock_->Now() - start));
    End(absl::OkStatus());
  }

  // The last thing done to this object: gRPC may delete it before Finish returns.
  void End(const absl::Status& status) {
    AddPushback(status, context_);
    record_.End(status);
    Finish(ToGrpcStatus(status));
  }

  Engine* const engine_;
  Metrics* const metrics_;
  const Clock* const clock_;
  grpc::CallbackServerContext* const context_;
  const v1::PoolTensorRequest* const request_;
  v1::PoolTensorResponse* const response_;
  const std::shared_ptr<CallContext> call_;
  CallRecord record_;
};

}  // namespace

grpc::ServerUnaryReactor* StartUnaryPool(const CallOptions& options, Engine* engine,
                                         Metrics* metrics, const Clock* clock,
                                         grpc::CallbackServerContext* context,
                                         const v1::PoolTensorRequest* request,
                                         v1::PoolTensorResponse* response) {
  auto* call = new UnaryPool(options, engine, metrics, clock, context, request, response);
  call->Start();
  return call;
}

}  // namespace pixpool
