// GET /v1/models and GET /v1/models/NAME.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/pipeline/model_registry.h"
#include "server/pipeline/options.h"
#include "server/rest/answer.h"

namespace pixpool::rest {

// What the door serves models from. Does not own anything.
struct ModelSource {
  const ModelRegistry* registry = nullptr;
  const PipelineOptions* options = nullptr;
  int64_t max_message_bytes = 0;
};

// The responses of ListModels and GetModel as protobuf's JSON, with the names of the .proto file.
absl::StatusOr<Answer> ModelsAnswer(const ModelSource& source);
absl::StatusOr<Answer> ModelAnswer(const ModelSource& source, std::string_view name,
                                   std::string_view version);

}  // namespace pixpool::rest
