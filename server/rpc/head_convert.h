// Heads between the wire and the pipeline. Parameters are read by reflection, so a new kind of head
// needs no code here.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/repeated_field.h"
#include "pixpool/v1/feature_service.pb.h"
#include "server/heads/heads.h"

namespace pixpool {

// One head. Errors: HEAD_INVALID for a head without a kind or with an unknown enum value. Field
// paths are relative to the head.
absl::StatusOr<HeadRequest> HeadFromProto(const v1::Head& head);

// All heads of a request; field paths start with "heads[i]".
absl::StatusOr<std::vector<HeadRequest>> HeadsFromProto(
    const google::protobuf::RepeatedPtrField<v1::Head>& heads);

// One head's result on one map. Takes the values over; `labels` are of the classes.
void HeadOutputToProto(const HeadSpec& head, const std::vector<std::string>& labels,
                       HeadOutput&& result, v1::HeadResult* out);

// The row of a head kind for GetModel. Space id and value count are left to the caller.
v1::HeadType HeadTypeToProto(const HeadType& type);

}  // namespace pixpool
