// One call of StreamFeatures.
#pragma once

#include "pixpool/v1/feature_service.grpc.pb.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/call.h"

namespace pixpool {

// Starts the stream and returns its reactor, which deletes itself when gRPC is done with it. At
// most max_stream_in_flight of its images are in the pipeline or waiting to be written; beyond
// that the server stops reading, and HTTP/2 flow control holds the client back.
grpc::ServerBidiReactor<v1::StreamFeaturesRequest, v1::StreamFeaturesResponse>* StartStream(
    const CallOptions& options, Pipeline* pipeline, Metrics* metrics, const Clock* clock,
    grpc::CallbackServerContext* context);

}  // namespace pixpool
