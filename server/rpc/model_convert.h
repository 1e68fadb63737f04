// Models for ListModels and GetModel.
#pragma once

#include "pixpool/v1/feature_service.pb.h"
#include "server/engine/engine.h"
#include "server/engine/model_registry.h"

namespace pixpool {

// Describes a model in full; one that is not ready has name, version, state and message only.
void ModelToProto(const ModelEntry& entry, const EngineOptions& options, int64_t max_message_bytes,
                  v1::Model* out);

}  // namespace pixpool
