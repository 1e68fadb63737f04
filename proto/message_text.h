// API messages from short texts, for whoever takes them from people or from parameters of another
// protocol. By reflection: a head kind, parameter or option that the proto gains works here without
// new code.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool {

// Reads a head: "kind[:parameter=value,...]", as "gem:p=3,layer=stage5,l2" or
// "max_pool:kernel_size=3x3,stride=2,ceil_mode". A bool alone means true. INVALID_ARGUMENT with the
// valid names for anything else. Ranges are the server's to check.
absl::StatusOr<v1::Head> HeadFromText(std::string_view spec);

// Sets one parameter of a head that has its kind: a field of the kind's message or of Head itself;
// "l2" and "id" are short for l2_normalized and head_id. Returns the complaint, or "".
std::string SetHeadParameter(v1::Head& head, std::string_view name, std::string_view value);

// Sets one scalar field. A list joins its values by "x". An enum's value may leave out the enum's
// name and is not case-sensitive ("score_type=logits"). Returns the complaint ("\"p\" must be a
// number, not ..."), or "". The field must be one of `message` and neither a message nor set.
std::string SetField(google::protobuf::Message& message,
                     const google::protobuf::FieldDescriptor* field, std::string_view value);

// The names of the fields of a message that SetField can set.
std::vector<std::string> ScalarFieldNames(const google::protobuf::Descriptor* message);

// All head kinds, in the order of the API.
std::vector<std::string> HeadKindNames();

}  // namespace pixpool
