// One call of ExtractFeatures.
#pragma once

#include "pixpool/v1/feature_service.grpc.pb.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/call.h"

namespace pixpool {

// Starts the call and returns its reactor, which deletes itself when gRPC is done with it. The
// request's bytes are used where gRPC put them: they live until the reactor finishes.
grpc::ServerUnaryReactor* StartUnaryExtract(const CallOptions& options, Pipeline* pipeline,
                                            Metrics* metrics, const Clock* clock,
                                            grpc::CallbackServerContext* context,
                                            const v1::ExtractFeaturesRequest* request,
                                            v1::ExtractFeaturesResponse* response);

}  // namespace pixpool
