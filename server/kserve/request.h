#pragma once

#include "absl/status/statusor.h"
#include "inference/grpc_service.pb.h"
#include "server/pipeline/pipeline.h"

namespace pixpool::kserve {

// The native form of a request. The images' bytes are not copied where they come as
// raw_input_contents or as BYTES: `request` must outlive the result. `context` is left to the
// caller. Errors: REQUEST_INVALID, HEAD_INVALID or NOT_IMPLEMENTED with the field's path, such as
// "inputs[0].shape"; LIMIT_EXCEEDED for more images or outputs than the options allow. A single
// malformed image cannot fail alone in this protocol.
absl::StatusOr<ExtractRequest> ExtractRequestFromInfer(const inference::ModelInferRequest& request,
                                                       const PipelineOptions& options);

}  // namespace pixpool::kserve
