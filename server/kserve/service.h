#pragma once

#include <functional>
#include <string>

#include "inference/grpc_service.grpc.pb.h"
#include "server/kserve/infer.h"
#include "server/kserve/repository.h"
#include "server/rpc/raw_service.h"

namespace pixpool::kserve {

struct ServiceOptions {
  CallOptions call;
  std::string caller_header;    // see CallerOf
  const TokenStore* tokens;     // null: calls need none
  std::string version;          // of the server
  std::function<bool()> ready;  // whether the server takes work; called on any thread
  ModelControl* control;        // of the models
};

// inference.GRPCInferenceService: the Open Inference Protocol over the pipeline of
// pixpool.v1.FeatureService, with its limits, admission, metrics and errors. Thread-safe; no call
// blocks a gRPC thread. Does not own what it is given; all of it must outlive the gRPC server.
class Service final : private Holds<ServiceOptions>, public RawService {
 public:
  Service(ServiceOptions options, Pipeline* pipeline, const ModelRegistry* registry,
          Metrics* metrics, const Clock* clock, CallWatch* watch, LogSample* log = nullptr,
          Tracer* tracer = nullptr);

 private:
  absl::Status ServerLive(const inference::ServerLiveRequest& request,
                          inference::ServerLiveResponse* response) const;
  absl::Status ServerReady(const inference::ServerReadyRequest& request,
                           inference::ServerReadyResponse* response) const;
  absl::Status ServerMetadata(const inference::ServerMetadataRequest& request,
                              inference::ServerMetadataResponse* response) const;
  absl::Status ModelReady(const inference::ModelReadyRequest& request,
                          inference::ModelReadyResponse* response) const;
  absl::Status ModelMetadata(const inference::ModelMetadataRequest& request,
                             inference::ModelMetadataResponse* response) const;
  absl::Status ModelConfig(const inference::ModelConfigRequest& request,
                           inference::ModelConfigResponse* response) const;
  absl::Status ModelStatistics(const inference::ModelStatisticsRequest& request,
                               inference::ModelStatisticsResponse* response) const;
  absl::Status RepositoryIndex(const inference::RepositoryIndexRequest& request,
                               inference::RepositoryIndexResponse* response) const;

  const ModelRegistry* const registry_;
  Statistics statistics_;
};

}  // namespace pixpool::kserve
