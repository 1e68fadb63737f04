// What the protocol tells about models.
#pragma once

#include "inference/grpc_service.pb.h"
#include "server/pipeline/pipeline.h"

namespace pixpool::kserve {

// Inputs of a loaded model, and as outputs the heads that need no parameters.
void MetadataToProto(const ModelInfo& info, int max_input_side,
                     inference::ModelMetadataResponse* out);

// The same as Triton's configuration.
void ConfigToProto(const ModelInfo& info, int max_input_side, int max_images,
                   inference::ModelConfig* out);

void IndexToProto(const ModelEntry& entry, inference::RepositoryIndexResponse::ModelIndex* out);

}  // namespace pixpool::kserve
