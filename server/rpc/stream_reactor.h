// One call of StreamFeatures.
#pragma once

#include "grpcpp/generic/async_generic_service.h"
#include "server/pipeline/pipeline.h"
#include "server/rpc/call.h"

namespace pixpool {

// Starts the stream and returns its reactor, which deletes itself when gRPC is done with it. At
// most max_stream_in_flight of its images are in the pipeline or waiting to be written; beyond
// that the server stops reading, and HTTP/2 flow control holds the client back.
grpc::ServerGenericBidiReactor* StartStream(const CallDeps& deps,
                                            grpc::CallbackServerContext* context);

}  // namespace pixpool
