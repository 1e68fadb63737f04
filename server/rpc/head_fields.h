// Fields of the API's head messages as parameters of heads, by reflection, and the check that the
// API and the table of heads are of one mind.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "server/heads/heads.h"

namespace pixpool {

// What a float of a request means: 1e-6f is 1e-6, not the double nearest to that float. Through the
// shortest decimal that gives the float back.
double WidenFloat(float value);

// The type of the parameter that a field becomes; nullopt for a field that no parameter can hold
// (bytes, uint64, a message, a list of anything but whole numbers).
std::optional<ParamType> ParamTypeOf(const google::protobuf::FieldDescriptor& field);

// The parameters that a head's message sets. Errors, with the field's name: HEAD_INVALID for an
// unknown enum value, NOT_IMPLEMENTED for a field that no parameter can hold.
absl::StatusOr<ParamMap> ParamsFromMessage(const google::protobuf::Message& params);

// Whether the kinds of heads are those of the table and the fields of their messages its
// parameters, each of a fitting type, enums with the same values. INTERNAL with what differs. A
// service makes sure before it takes requests.
absl::Status CheckHeads(const google::protobuf::OneofDescriptor& kinds,
                        absl::Span<const HeadType> types);

}  // namespace pixpool
