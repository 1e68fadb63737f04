// API messages from short texts, for whoever takes them from people, and from the typed parameters
// of another protocol. By reflection: a head kind, parameter or option that the proto gains works
// here without new code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool {

// A value for a field of any type; monostate: none was given. Numbers stay numbers; a double means
// the float32 nearest to it, which is what the API's fields have. A text is read: as a number, as
// "true" or "no", as an enum's value, which may leave out the enum's name and is not case-sensitive
// ("score_type=logits"), or as a list joined by "x". A field that holds text takes the text of a
// number.
using FieldValue = std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string_view>;

// Reads a head: "kind[:parameter=value,...]", as "gem:p=3,layer=stage5,l2" or
// "max_pool:kernel_size=3x3,stride=2,ceil_mode". A bool alone means true. INVALID_ARGUMENT with the
// valid names for anything else. Ranges are the server's to check.
absl::StatusOr<v1::Head> HeadFromText(std::string_view spec);

// Sets one parameter of a head that has its kind: a field of the kind's message or of Head itself;
// "l2" and "id" are short for l2_normalized and head_id. Returns the complaint, or "".
std::string SetHeadParameter(v1::Head& head, std::string_view name, const FieldValue& value);

// Sets one scalar field. Returns the complaint ("\"p\" must be a number, not ..."), or "". The
// field must be one of `message` and neither a message nor set.
std::string SetField(google::protobuf::Message& message,
                     const google::protobuf::FieldDescriptor* field, const FieldValue& value);

// The names of the fields of a message that SetField can set.
std::vector<std::string> ScalarFieldNames(const google::protobuf::Descriptor* message);

// All head kinds, in the order of the API.
std::vector<std::string> HeadKindNames();

}  // namespace pixpool
