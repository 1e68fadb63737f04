#include "server/rpc/feature_service.h"

#include <utility>

#include "server/rpc/model_convert.h"
#include "server/rpc/not_served.h"
#include "server/rpc/status.h"
#include "server/rpc/stream_reactor.h"
#include "server/rpc/unary_extract.h"

namespace pixpool {
namespace {

// Ends a call that needs no engine.
grpc::ServerUnaryReactor* FinishNow(RpcMethod method, grpc::CallbackServerContext* context,
                                    Metrics* metrics, const Clock* clock,
                                    const absl::Status& status) {
  CallRecord(method, context->peer(), metrics, clock).End(status);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

}  // namespace

grpc::ServerUnaryReactor* FeatureService::ExtractFeatures(grpc::CallbackServerContext* context,
                                                          const v1::ExtractFeaturesRequest* request,
                                                          v1::ExtractFeaturesResponse* response) {
  return StartUnaryExtract(options_.call, engine_, metrics_, clock_, context, request, response);
}

grpc::ServerBidiReactor<v1::StreamFeaturesRequest, v1::StreamFeaturesResponse>*
FeatureService::StreamFeatures(grpc::CallbackServerContext* context) {
  return StartStream(options_.call, options_.max_stream_in_flight, engine_, metrics_, clock_,
                     context);
}

grpc::ServerUnaryReactor* FeatureService::PoolTensor(grpc::CallbackServerContext* context,
                                                     const v1::PoolTensorRequest*,
                                                     v1::PoolTensorResponse*) {
  return FinishNow(RpcMethod::kPoolTensor, context, metrics_, clock_, NotServed("", "PoolTensor"));
}

grpc::ServerUnaryReactor* FeatureService::ListModels(grpc::CallbackServerContext* context,
                                                     const v1::ListModelsRequest*,
                                                     v1::ListModelsResponse* response) {
  for (const ModelEntry& entry : registry_->List()) {
    v1::Model* model = response->add_models();
    ModelToProto(entry, engine_->options(), options_.max_message_bytes, model);
    model->clear_labels();
  }
  return FinishNow(RpcMethod::kListModels, context, metrics_, clock_, absl::OkStatus());
}

grpc::ServerUnaryReactor* FeatureService::GetModel(grpc::CallbackServerContext* context,
                                                   const v1::GetModelRequest* request,
                                                   v1::GetModelResponse* response) {
  const auto entry = registry_->Find(request->model(), request->model_version());
  if (entry.ok()) {
    ModelToProto(*entry, engine_->options(), options_.max_message_bytes, response->mutable_model());
  }
  return FinishNow(RpcMethod::kGetModel, context, metrics_, clock_, entry.status());
}

}  // namespace pixpool
