#pragma once

#include "absl/status/status.h"
#include "inference/grpc_service.pb.h"
#include "server/pipeline/pipeline.h"

namespace pixpool::kserve {

// The response to a request whose result, as a whole, is OK. Takes the values over. Each output has
// a row for each image, or where there are regions for each of those, image by image; images that
// have results beside those of their regions are outputs of their own then ("image/gem"). Errors:
// that of the first image that failed, with its index, since the protocol has no status of an
// image; REQUEST_INVALID where maps differ in size, which one tensor cannot hold.
absl::Status InferResponseFromResult(const inference::ModelInferRequest& request,
                                     ExtractResult&& result, inference::ModelInferResponse* out);

// "0.750000:281:tabby", as in Triton's classification extension.
std::string ClassText(const ClassScore& score, const std::vector<std::string>& labels);

}  // namespace pixpool::kserve
