#pragma once

#include <functional>
#include <string>

#include "inference/grpc_service.grpc.pb.h"
#include "server/kserve/infer.h"

namespace pixpool::kserve {

struct ServiceOptions {
  CallOptions call;
  std::string version;          // of the server
  std::function<bool()> ready;  // whether the server takes work; called on any thread
};

// inference.GRPCInferenceService: the Open Inference Protocol over the pipeline of
// pixpool.v1.FeatureService, with its limits, admission, metrics and errors. Thread-safe; no call
// blocks a gRPC thread. Does not own what it is given; all of it must outlive the gRPC server.
class Service final : public inference::GRPCInferenceService::CallbackService {
 public:
  Service(ServiceOptions options, Pipeline* pipeline, const ModelRegistry* registry,
          Metrics* metrics, const Clock* clock);

  grpc::ServerUnaryReactor* ServerLive(grpc::CallbackServerContext* context,
                                       const inference::ServerLiveRequest* request,
                                       inference::ServerLiveResponse* response) override;
  grpc::ServerUnaryReactor* ServerReady(grpc::CallbackServerContext* context,
                                        const inference::ServerReadyRequest* request,
                                        inference::ServerReadyResponse* response) override;
  grpc::ServerUnaryReactor* ModelReady(grpc::CallbackServerContext* context,
                                       const inference::ModelReadyRequest* request,
                                       inference::ModelReadyResponse* response) override;
  grpc::ServerUnaryReactor* ServerMetadata(grpc::CallbackServerContext* context,
                                           const inference::ServerMetadataRequest* request,
                                           inference::ServerMetadataResponse* response) override;
  grpc::ServerUnaryReactor* ModelMetadata(grpc::CallbackServerContext* context,
                                          const inference::ModelMetadataRequest* request,
                                          inference::ModelMetadataResponse* response) override;
  grpc::ServerUnaryReactor* ModelConfig(grpc::CallbackServerContext* context,
                                        const inference::ModelConfigRequest* request,
                                        inference::ModelConfigResponse* response) override;
  grpc::ServerUnaryReactor* ModelStatistics(grpc::CallbackServerContext* context,
                                            const inference::ModelStatisticsRequest* request,
                                            inference::ModelStatisticsResponse* response) override;
  grpc::ServerUnaryReactor* RepositoryIndex(grpc::CallbackServerContext* context,
                                            const inference::RepositoryIndexRequest* request,
                                            inference::RepositoryIndexResponse* response) override;
  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* context,
                                       const inference::ModelInferRequest* request,
                                       inference::ModelInferResponse* response) override;
  grpc::ServerBidiReactor<inference::ModelInferRequest, inference::ModelStreamInferResponse>*
  ModelStreamInfer(grpc::CallbackServerContext* context) override;

 private:
  CallRecord Record(RpcMethod method, grpc::CallbackServerContext* context) const;

  const ServiceOptions options_;
  const ModelRegistry* const registry_;
  Statistics statistics_;
  const InferDeps deps_;
};

}  // namespace pixpool::kserve
