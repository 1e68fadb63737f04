#pragma once

#include "pixpool/v1/feature_service.grpc.pb.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/call.h"

namespace pixpool {

// pixpool.v1.FeatureService: converts, and leaves the work to the pipeline. Thread-safe; no call
// blocks a gRPC thread. Does not own what it is given; all of it must outlive the gRPC server.
class FeatureService final : public v1::FeatureService::CallbackService {
 public:
  FeatureService(const RpcOptions& options, Pipeline* pipeline, const ModelRegistry* registry,
                 Metrics* metrics, const Clock* clock)
      : options_(options),
        pipeline_(pipeline),
        registry_(registry),
        metrics_(metrics),
        clock_(clock) {}

  grpc::ServerUnaryReactor* ExtractFeatures(grpc::CallbackServerContext* context,
                                            const v1::ExtractFeaturesRequest* request,
                                            v1::ExtractFeaturesResponse* response) override;
  grpc::ServerBidiReactor<v1::StreamFeaturesRequest, v1::StreamFeaturesResponse>* StreamFeatures(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* PoolTensor(grpc::CallbackServerContext* context,
                                       const v1::PoolTensorRequest* request,
                                       v1::PoolTensorResponse* response) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;

 private:
  const RpcOptions options_;
  Pipeline* const pipeline_;
  const ModelRegistry* const registry_;
  Metrics* const metrics_;
  const Clock* const clock_;
};

}  // namespace pixpool
