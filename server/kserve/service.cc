#include "server/kserve/service.h"

#include <utility>

#include "server/kserve/models.h"
#include "server/rpc/status.h"

namespace pixpool::kserve {
namespace {

constexpr const char* kExtensions[] = {"classification", "model_configuration", "model_repository",
                                       "statistics"};

}  // namespace

Service::Service(ServiceOptions options, Engine* engine, const ModelRegistry* registry,
                 Metrics* metrics, const Clock* clock)
    : options_(std::move(options)),
      registry_(registry),
      deps_({.call = options_.call,
             .max_stream_in_flight = options_.max_stream_in_flight,
             .engine = engine,
             .metrics = metrics,
             .clock = clock,
             .statistics = &statistics_}) {}

grpc::ServerUnaryReactor* Service::Finish(RpcMethod method, grpc::CallbackServerContext* context,
                                          const absl::Status& status) {
  CallRecord record(method, context->peer(), deps_.metrics, deps_.clock);
  record.End(status);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

grpc::ServerUnaryReactor* Service::ServerLive(grpc::CallbackServerContext* context,
                                              const inference::ServerLiveRequest*,
                                              inference::ServerLiveResponse* response) {
  response->set_live(true);
  return Finish(RpcMethod::kServerLive, context, absl::OkStatus());
}

grpc::ServerUnaryReactor* Service::ServerReady(grpc::CallbackServerContext* context,
                                               const inference::ServerReadyRequest*,
                                               inference::ServerReadyResponse* response) {
  response->set_ready(options_.ready());
  return Finish(RpcMethod::kServerReady, context, absl::OkStatus());
}

grpc::ServerUnaryReactor* Service::ModelReady(grpc::CallbackServerContext* context,
                                              const inference::ModelReadyRequest* request,
                                              inference::ModelReadyResponse* response) {
  const auto entry = registry_->Find(request->name(), request->version());
  response->set_ready(entry.ok() && entry->state == ModelState::kReady);
  return Finish(RpcMethod::kModelReady, context, absl::OkStatus());
}

grpc::ServerUnaryReactor* Service::ServerMetadata(grpc::CallbackServerContext* context,
                                                  const inference::ServerMetadataRequest*,
                                                  inference::ServerMetadataResponse* response) {
  response->set_name("pixpool");
  response->set_version(options_.version);
  for (const char* extension : kExtensions) response->add_extensions(extension);
  return Finish(RpcMethod::kServerMetadata, context, absl::OkStatus());
}

grpc::ServerUnaryReactor* Service::ModelMetadata(grpc::CallbackServerContext* context,
                                                 const inference::ModelMetadataRequest* request,
                                                 inference::ModelMetadataResponse* response) {
  const auto model = registry_->Get(request->name(), request->version());
  if (model.ok()) {
    const ModelInfo& info = (*model)->info();
    MetadataToProto(info, deps_.engine->options().max_input_side, response);
    for (const ModelEntry& entry : registry_->List()) {
      const bool loaded = entry.name == info.name && entry.state == ModelState::kReady;
      if (loaded) response->add_versions(entry.version);
    }
  }
  return Finish(RpcMethod::kModelMetadata, context, model.status());
}

grpc::ServerUnaryReactor* Service::ModelConfig(grpc::CallbackServerContext* context,
                                               const inference::ModelConfigRequest* request,
                                               inference::ModelConfigResponse* response) {
  const auto model = registry_->Get(request->name(), request->version());
  if (model.ok()) {
    const EngineOptions& options = deps_.engine->options();
    ConfigToProto((*model)->info(), options.max_input_side, options.max_images_per_request,
                  response->mutable_config());
  }
  return Finish(RpcMethod::kModelConfig, context, model.status());
}

grpc::ServerUnaryReactor* Service::ModelStatistics(grpc::CallbackServerContext* context,
                                                   const inference::ModelStatisticsRequest* request,
                                                   inference::ModelStatisticsResponse* response) {
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
  return Finish(RpcMethod::kModelStatistics, context, status);
}

grpc::ServerUnaryReactor* Service::RepositoryIndex(grpc::CallbackServerContext* context,
                                                   const inference::RepositoryIndexRequest* request,
                                                   inference::RepositoryIndexResponse* response) {
  for (const ModelEntry& entry : registry_->List()) {
    if (request->ready() && entry.state != ModelState::kReady) continue;
    IndexToProto(entry, response->add_models());
  }
  return Finish(RpcMethod::kRepositoryIndex, context, absl::OkStatus());
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
