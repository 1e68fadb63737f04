// Models for ListModels and GetModel.
#pragma once

#include "pixpool/v1/feature_service.pb.h"
#include "server/pipeline/model_registry.h"
#include "server/pipeline/pipeline.h"

namespace pixpool {

// Describes a model in full; one that is not ready has name, version, state and message only.
void ModelToProto(const ModelEntry& entry, const PipelineOptions& options,
                  int64_t max_message_bytes, v1::Model* out);

}  // namespace pixpool
