#include "server/rpc/feature_service.h"

#include "server/rpc/model_convert.h"
#include "server/rpc/stream_reactor.h"
#include "server/rpc/unary_extract.h"
#include "server/rpc/unary_pool.h"

namespace pixpool {

FeatureService::FeatureService(const RpcOptions& options, const TokenStore* tokens,
                               Pipeline* pipeline, const ModelRegistry* registry, Metrics* metrics,
                               const Clock* clock, CallWatch* watch, LogSample* log, Tracer* tracer)
    : Holds(options),
      RawService(v1::FeatureService::service_full_name(),
                 {.options = &options_.call,
                  .caller_header = &options_.caller_header.value(),
                  .tokens = tokens,
                  .pipeline = pipeline,
                  .metrics = metrics,
                  .clock = clock,
                  .watch = watch,
                  .log = log,
                  .tracer = tracer}),
      registry_(registry) {
  ServeUnary<UnaryExtract>(RpcMethod::kExtractFeatures);
  ServeUnary<UnaryPool>(RpcMethod::kPoolTensor);
  Serve(RpcMethod::kStreamFeatures,
        [this](grpc::CallbackServerContext* context) { return StartStream(deps(), context); });
  ServeQuestion<v1::ListModelsRequest, v1::ListModelsResponse>(
      RpcMethod::kListModels,
      [this](const auto& request, auto* response) { return ListModels(request, response); });
  ServeQuestion<v1::GetModelRequest, v1::GetModelResponse>(
      RpcMethod::kGetModel,
      [this](const auto& request, auto* response) { return GetModel(request, response); });
}

absl::Status FeatureService::ListModels(const v1::ListModelsRequest&,
                                        v1::ListModelsResponse* response) const {
  for (const ModelEntry& entry : registry_->List()) {
    v1::Model* model = response->add_models();
    ModelToProto(entry, deps().pipeline->options(), options_.max_message_bytes, model);
    model->clear_labels();
  }
  return absl::OkStatus();
}

absl::Status FeatureService::GetModel(const v1::GetModelRequest& request,
                                      v1::GetModelResponse* response) const {
  const auto entry = registry_->Find(request.model(), request.model_version());
  if (!entry.ok()) return entry.status();
  ModelToProto(*entry, deps().pipeline->options(), options_.max_message_bytes,
               response->mutable_model());
  return absl::OkStatus();
}

}  // namespace pixpool
