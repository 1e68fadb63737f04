#include "server/rest/models.h"

#include <string>

#include "google/protobuf/util/json_util.h"
#include "pixpool/v1/feature_service.pb.h"
#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/rpc/model_convert.h"

namespace pixpool::rest {
namespace {

absl::StatusOr<Answer> MessageAnswer(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  Answer answer;
  if (!google::protobuf::util::MessageToJsonString(message, &answer.body, options).ok()) {
    return MakeError(ErrorReason::kInferenceFailed, "internal error");
  }
  answer.body += '\n';
  return answer;
}

}  // namespace

absl::StatusOr<Answer> ModelsAnswer(const ModelSource& source) {
  v1::ListModelsResponse response;
  for (const ModelEntry& entry : source.registry->List()) {
    v1::Model* model = response.add_models();
    ModelToProto(entry, *source.options, source.max_message_bytes, model);
    model->clear_labels();
  }
  return MessageAnswer(response);
}

absl::StatusOr<Answer> ModelAnswer(const ModelSource& source, std::string_view name,
                                   std::string_view version) {
  PIXPOOL_ASSIGN_OR_RETURN(const ModelEntry entry, source.registry->Find(name, version));
  v1::Model model;
  ModelToProto(entry, *source.options, source.max_message_bytes, &model);
  return MessageAnswer(model);
}

}  // namespace pixpool::rest
