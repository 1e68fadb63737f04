#include "server/rpc/feature_service.h"

#include <utility>

#include "server/rpc/finish_now.h"
#include "server/rpc/model_convert.h"
#include "server/rpc/stream_reactor.h"
#include "server/rpc/unary_extract.h"
#include "server/rpc/unary_pool.h"

namespace pixpool {

grpc::ServerUnaryReactor* FeatureService::ExtractFeatures(grpc::CallbackServerContext* context,
                                                          const v1::ExtractFeaturesRequest* request,
                                                          v1::ExtractFeaturesResponse* response) {
  return StartUnaryExtract(options_.call, pipeline_, metrics_, clock_, context, request, response);
}

grpc::ServerBidiReactor<v1::StreamFeaturesRequest, v1::StreamFeaturesResponse>*
FeatureService::StreamFeatures(grpc::CallbackServerContext* context) {
  return StartStream(options_.call, pipeline_, metrics_, clock_, context);
}

grpc::ServerUnaryReactor* FeatureService::PoolTensor(grpc::CallbackServerContext* context,
                                                     const v1::PoolTensorRequest* request,
                                                     v1::PoolTensorResponse* response) {
  return StartUnaryPool(options_.call, pipeline_, metrics_, clock_, context, request, response);
}

grpc::ServerUnaryReactor* FeatureService::ListModels(grpc::CallbackServerContext* context,
                                                     const v1::ListModelsRequest*,
                                                     v1::ListModelsResponse* response) {
  CallRecord record(RpcMethod::kListModels, OriginOf(*context), metrics_, clock_);
  for (const ModelEntry& entry : registry_->List()) {
    v1::Model* model = response->add_models();
    ModelToProto(entry, pipeline_->options(), options_.max_message_bytes, model);
    model->clear_labels();
  }
  return FinishNow(&record, context, absl::OkStatus());
}

grpc::ServerUnaryReactor* FeatureService::GetModel(grpc::CallbackServerContext* context,
                                                   const v1::GetModelRequest* request,
                                                   v1::GetModelResponse* response) {
  CallRecord record(RpcMethod::kGetModel, OriginOf(*context), metrics_, clock_);
  const auto entry = registry_->Find(request->model(), request->model_version());
  if (entry.ok()) {
    ModelToProto(*entry, pipeline_->options(), options_.max_message_bytes,
                 response->mutable_model());
  }
  return FinishNow(&record, context, entry.status());
}

}  // namespace pixpool
