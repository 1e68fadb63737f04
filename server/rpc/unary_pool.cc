#include "server/rpc/unary_pool.h"

#include <utility>

#include "server/base/status_macros.h"
#include "server/rpc/head_convert.h"
#include "server/rpc/unary_reactor.h"

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

class UnaryPool final : public UnaryReactor<v1::PoolTensorRequest, v1::PoolTensorResponse> {
 public:
  using UnaryReactor::UnaryReactor;

  void Start() {
    auto request = PoolRequestFromProto(*request_);
    record_.Note("heads", request_->heads_size());
    record_.Note("values", request_->tensor().values_size());
    if (!request.ok()) return End(request.status());
    request->context = call_;
    pipeline_->Pool(*std::move(request), [this](PoolResult result) {
      if (!result.status.ok()) return End(result.status);
      EndWithReply([&] { PoolResultToProto(std::move(result), response_); });
    });
  }
};

}  // namespace

grpc::ServerUnaryReactor* StartUnaryPool(const CallOptions& options, Pipeline* pipeline,
                                         Metrics* metrics, const Clock* clock,
                                         grpc::CallbackServerContext* context,
                                         const v1::PoolTensorRequest* request,
                                         v1::PoolTensorResponse* response) {
  auto* call = new UnaryPool(RpcMethod::kPoolTensor, options, pipeline, metrics, clock, context,
                             request, response);
  call->Start();
  return call;
}

}  // namespace pixpool
