#include "server/kserve/service.h"

#include <utility>

#include "server/kserve/models.h"
#include "server/rpc/finish_now.h"

namespace pixpool::kserve {
namespace {

constexpr const char* kExtensions[] = {"classification", "model_configuration", "model_repository",
                                       "statistics"};

}  // namespace

Service::Service(ServiceOptions options, Pipeline* pipeline, const ModelRegistry* registry,
                 Metrics* metrics, const Clock* clock)
    : options_(std::move(options)),
      registry_(registry),
      deps_({.call = options_.call,
             .pipeline = pipeline,
             .metrics = metrics,
             .clock = clock,
             .statistics = &statistics_}) {}

CallRecord Service::Record(RpcMethod method, grpc::CallbackServerContext* context) const {
  return CallRecord(method, OriginOf(*context), deps_.metrics, deps_.clock);
}

grpc::ServerUnaryReactor* Service::ServerLive(grpc::CallbackServerContext* context,
                                              const inference::ServerLiveRequest*,
                                              inference::ServerLiveResponse* response) {
  CallRecord record = Record(RpcMethod::kServerLive, context);
  response->set_live(true);
  return FinishNow(&record, context, absl::OkStatus());
}

grpc::ServerUnaryReactor* Service::ServerReady(grpc::CallbackServerContext* context,
                                               const inference::ServerReadyRequest*,
                                               inference::ServerReadyResponse* response) {
  CallRecord record = Record(RpcMethod::kServerReady, context);
  response->set_ready(options_.ready());
  return FinishNow(&record, context, absl::OkStatus());
}

grpc::ServerUnaryReactor* Service::ModelReady(grpc::CallbackServerContext* context,
                                              const inference::ModelReadyRequest* request,
                                              inference::ModelReadyResponse* response) {
  CallRecord record = Record(RpcMethod::kModelReady, context);
  const auto entry = registry_->Find(request->name(), request->version());
  response->set_ready(entry.ok() && entry->state == ModelState::kReady);
  return FinishNow(&record, context, absl::OkStatus());
}

grpc::ServerUnaryReactor* Service::ServerMetadata(grpc::CallbackServerContext* context,
                                                  const inference::ServerMetadataRequest*,
                                                  inference::ServerMetadataResponse* response) {
  CallRecord record = Record(RpcMethod::kServerMetadata, context);
  response->set_name("pixpool");
  response->set_version(options_.version);
  for (const char* extension : kExtensions) response->add_extensions(extension);
  return FinishNow(&record, context, absl::OkStatus());
}

grpc::ServerUnaryReactor* Service::ModelMetadata(grpc::CallbackServerContext* context,
                                                 const inference::ModelMetadataRequest* request,
                                                 inference::ModelMetadataResponse* response) {
  CallRecord record = Record(RpcMethod::kModelMetadata, context);
  const auto model = registry_->Get(request->name(), request->version());
  if (model.ok()) {
    const ModelInfo& info = (*model)->info();
    MetadataToProto(info, deps_.pipeline->options().input.max_side, response);
    for (const ModelEntry& entry : registry_->List()) {
      const bool loaded = entry.name == info.name && entry.state == ModelState::kReady;
      if (loaded) response->add_versions(entry.version);
    }
  }
  return FinishNow(&record, context, model.status());
}

grpc::ServerUnaryReactor* Service::ModelConfig(grpc::CallbackServerContext* context,
                                               const inference::ModelConfigRequest* request,
                                               inference::ModelConfigResponse* response) {
  CallRecord record = Record(RpcMethod::kModelConfig, context);
  const auto model = registry_->Get(request->name(), request->version());
  if (model.ok()) {
    const PipelineOptions& options = deps_.pipeline->options();
    ConfigToProto((*model)->info(), options.input.max_side, options.max_images_per_request,
                  response->mutable_config());
  }
  return FinishNow(&record, context, model.status());
}

grpc::ServerUnaryReactor* Service::ModelStatistics(grpc::CallbackServerContext* context,
                                                   const inference::ModelStatisticsRequest* request,
                                                   inference::ModelStatisticsResponse* response) {
  CallRecord record = Record(RpcMethod::kModelStatistics, context);
  absl::Status status;
  if (!request->name().empty()) {
    status = registry_->Find(request->name(), request->version()).status();
  }
  for (const ModelEntry& entry : registry_->List()) {
    const bool wanted = (request->name().empty() || request->name() == entry.name) &&
                        (request->version().empty() || request->version() == entry.version);
    if (!status.ok() || !wanted || entry.state != ModelState::kReady) continue;
    statistics_.ToProto(entry.name, entry.version, response->add_model_stats());
  }
  return FinishNow(&record, context, status);
}

grpc::ServerUnaryReactor* Service::RepositoryIndex(grpc::CallbackServerContext* context,
                                                   const inference::RepositoryIndexRequest* request,
                                                   inference::RepositoryIndexResponse* response) {
  CallRecord record = Record(RpcMethod::kRepositoryIndex, context);
  for (const ModelEntry& entry : registry_->List()) {
    if (request->ready() && entry.state != ModelState::kReady) continue;
    IndexToProto(entry, response->add_models());
  }
  return FinishNow(&record, context, absl::OkStatus());
}

grpc::ServerUnaryReactor* Service::ModelInfer(grpc::CallbackServerContext* context,
                                              const inference::ModelInferRequest* request,
                                              inference::ModelInferResponse* response) {
  return StartInfer(deps_, context, request, response);
}

grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>*
Service::ModelStreamInfer(grpc::CallbackServerContext* context) {
  return StartStreamInfer(deps_, context);
}

}  // namespace pixpool::kserve
