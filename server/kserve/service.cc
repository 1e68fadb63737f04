#include "server/kserve/service.h"

#include <string>
#include <utility>

#include "server/kserve/models.h"

namespace pixpool::kserve {
namespace {

constexpr const char* kExtensions[] = {"classification", "model_configuration", "model_repository",
                                       "statistics"};

}  // namespace

// The method of the class as an answer to the call of the same name.
#define PIXPOOL_QUESTION(NAME)                                        \
  ServeQuestion<inference::NAME##Request, inference::NAME##Response>( \
      RpcMethod::k##NAME,                                             \
      [this](const auto& request, auto* response) { return NAME(request, response); })

Service::Service(ServiceOptions options, Pipeline* pipeline, const ModelRegistry* registry,
                 Metrics* metrics, const Clock* clock, CallWatch* watch, LogSample* log,
                 Tracer* tracer)
    : Holds(std::move(options)),
      RawService(inference::GRPCInferenceService::service_full_name(),
                 {.options = &options_.call,
                  .caller_header = &options_.caller_header,
                  .tokens = options_.tokens,
                  .pipeline = pipeline,
                  .metrics = metrics,
                  .clock = clock,
                  .watch = watch,
                  .log = log,
                  .tracer = tracer}),
      registry_(registry) {
  ServeUnary<UnaryInfer>(RpcMethod::kModelInfer, &statistics_);
  Serve(RpcMethod::kModelStreamInfer, [this](grpc::CallbackServerContext* context) {
    return StartStreamInfer(deps(), &statistics_, context);
  });
  PIXPOOL_QUESTION(ServerLive);
  PIXPOOL_QUESTION(ServerReady);
  PIXPOOL_QUESTION(ServerMetadata);
  PIXPOOL_QUESTION(ModelReady);
  PIXPOOL_QUESTION(ModelMetadata);
  PIXPOOL_QUESTION(ModelConfig);
  PIXPOOL_QUESTION(ModelStatistics);
  PIXPOOL_QUESTION(RepositoryIndex);
  ServeUnary<UnaryLoad>(RpcMethod::kRepositoryModelLoad, options_.control);
  ServeUnary<UnaryUnload>(RpcMethod::kRepositoryModelUnload, options_.control);
}

#undef PIXPOOL_QUESTION

absl::Status Service::ServerLive(const inference::ServerLiveRequest&,
                                 inference::ServerLiveResponse* response) const {
  response->set_live(true);
  return absl::OkStatus();
}

absl::Status Service::ServerReady(const inference::ServerReadyRequest&,
                                  inference::ServerReadyResponse* response) const {
  response->set_ready(options_.ready());
  return absl::OkStatus();
}

absl::Status Service::ServerMetadata(const inference::ServerMetadataRequest&,
                                     inference::ServerMetadataResponse* response) const {
  response->set_name("pixpool");
  response->set_version(options_.version);
  for (const char* extension : kExtensions) response->add_extensions(extension);
  return absl::OkStatus();
}

absl::Status Service::ModelReady(const inference::ModelReadyRequest& request,
                                 inference::ModelReadyResponse* response) const {
  const auto entry = registry_->Find(request.name(), request.version());
  response->set_ready(entry.ok() && TakesCalls(entry->state));
  return absl::OkStatus();
}

absl::Status Service::ModelMetadata(const inference::ModelMetadataRequest& request,
                                    inference::ModelMetadataResponse* response) const {
  const auto found = registry_->FindServing(request.name(), request.version());
  if (!found.ok()) return found.status();
  const ModelInfo& info = *found->info();
  MetadataToProto(info, deps().pipeline->options().input.max_side, response);
  for (const ModelEntry& entry : registry_->List()) {
    const bool serves = entry.name == info.name && TakesCalls(entry.state);
    if (serves) response->add_versions(entry.version);
  }
  return absl::OkStatus();
}

absl::Status Service::ModelConfig(const inference::ModelConfigRequest& request,
                                  inference::ModelConfigResponse* response) const {
  const auto found = registry_->FindServing(request.name(), request.version());
  if (!found.ok()) return found.status();
  const PipelineOptions& options = deps().pipeline->options();
  ConfigToProto(*found->info(), options.input.max_side, options.max_images_per_request,
                response->mutable_config());
  return absl::OkStatus();
}

absl::Status Service::ModelStatistics(const inference::ModelStatisticsRequest& request,
                                      inference::ModelStatisticsResponse* response) const {
  std::string version = request.version();
  if (!request.name().empty()) {
    const absl::StatusOr<ModelEntry> found = registry_->Find(request.name(), version);
    if (!found.ok()) return found.status();
    if (!version.empty()) version = found->version;  // it may be an alias
  }
  for (const ModelEntry& entry : registry_->List()) {
    const bool wanted = (request.name().empty() || request.name() == entry.name) &&
                        (version.empty() || version == entry.version);
    if (!wanted || !TakesCalls(entry.state)) continue;
    statistics_.ToProto(entry.name, entry.version, response->add_model_stats());
  }
  return absl::OkStatus();
}

absl::Status Service::RepositoryIndex(const inference::RepositoryIndexRequest& request,
                                      inference::RepositoryIndexResponse* response) const {
  for (const ModelEntry& entry : registry_->List()) {
    if (request.ready() && !TakesCalls(entry.state)) continue;
    IndexToProto(entry, response->add_models());
  }
  if (request.ready()) return absl::OkStatus();
  for (const BundleLocation& at : options_.control->Unloaded()) {
    IndexToProto({.name = at.name,
                  .version = at.version,
                  .state = ModelState::kFailed,
                  .message = "unloaded"},
                 response->add_models());
  }
  return absl::OkStatus();
}

}  // namespace pixpool::kserve
