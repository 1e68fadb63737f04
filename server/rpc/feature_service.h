#pragma once

#include "pixpool/v1/feature_service.grpc.pb.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/raw_service.h"

namespace pixpool {

// pixpool.v1.FeatureService: converts, and leaves the work to the pipeline. Thread-safe; no call
// blocks a gRPC thread. Does not own what it is given; all of it must outlive the gRPC server.
class FeatureService final : private Holds<RpcOptions>, public RawService {
 public:
  // `tokens` may be null: calls need none; `log` too: every call has its line, and
  // `tracer`: none has a span.
  FeatureService(const RpcOptions& options, const TokenStore* tokens, Pipeline* pipeline,
                 const ModelRegistry* registry, Metrics* metrics, const Clock* clock,
                 CallWatch* watch, LogSample* log = nullptr, Tracer* tracer = nullptr);

 private:
  absl::Status ListModels(const v1::ListModelsRequest& request,
                          v1::ListModelsResponse* response) const;
  absl::Status GetModel(const v1::GetModelRequest& request, v1::GetModelResponse* response) const;

  const ModelRegistry* const registry_;
};

}  // namespace pixpool
