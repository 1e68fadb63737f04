#include "server/rpc/unary_extract.h"

#include <utility>

#include "server/rpc/extract_convert.h"
#include "server/rpc/unary_reactor.h"

namespace pixpool {
namespace {

class UnaryExtract final
    : public UnaryReactor<v1::ExtractFeaturesRequest, v1::ExtractFeaturesResponse> {
 public:
  using UnaryReactor::UnaryReactor;

  void Start() {
    auto request = ExtractRequestFromProto(*request_);
    if (!request_->request_id().empty() && request.ok()) {
      record_.Note("request_id", request_->request_id());
    }
    record_.Note("images", request_->images_size());
    record_.Note("heads", request_->heads_size());
    if (!request.ok()) return End(request.status());
    request->context = call_;
    pipeline_->Extract(*std::move(request), [this](ExtractResult result) {
      if (!result.status.ok()) return End(result.status);
      NoteResult(result, &record_);
      EndWithReply([&] { ExtractResultToProto(*request_, std::move(result), response_); });
    });
  }
};

}  // namespace

grpc::ServerUnaryReactor* StartUnaryExtract(const CallOptions& options, Pipeline* pipeline,
                                            Metrics* metrics, const Clock* clock,
                                            grpc::CallbackServerContext* context,
                                            const v1::ExtractFeaturesRequest* request,
                                            v1::ExtractFeaturesResponse* response) {
  auto* call = new UnaryExtract(RpcMethod::kExtractFeatures, options, pipeline, metrics, clock,
                                context, request, response);
  call->Start();
  return call;
}

}  // namespace pixpool
