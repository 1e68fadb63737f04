// One call of PoolTensor.
#pragma once

#include "pixpool/v1/feature_service.grpc.pb.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/call.h"

namespace pixpool {

// Starts the call and returns its reactor, which deletes itself when gRPC is done with it. The
// tensor is used where gRPC put it: it lives until the reactor finishes.
grpc::ServerUnaryReactor* StartUnaryPool(const CallOptions& options, Pipeline* pipeline,
                                         Metrics* metrics, const Clock* clock,
                                         grpc::CallbackServerContext* context,
                                         const v1::PoolTensorRequest* request,
                                         v1::PoolTensorResponse* response);

}  // namespace pixpool
