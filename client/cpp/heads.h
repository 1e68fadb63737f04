// Short ways to write pixpool::v1::Head, the pooling that a request asks for.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::client {

// The heads used most; every other kind and parameter is a field of v1::Head, or text for
// ParseHead. What is not given is the server's default.
v1::Head GlobalAvg();
v1::Head GlobalMax();
v1::Head Gem(std::optional<float> p = std::nullopt);
v1::Head ClassScores(std::optional<int> top_k = std::nullopt);

// Reads a head from text:
//
//   kind[:parameter=value,...]     "gem:p=3,layer=stage5,l2"
//   "max_pool:kernel_size=3x3,stride=2,ceil_mode"
//
// Kinds and parameters are those of the API (feature_service.proto): the fields of the kind's
// message and those of Head itself (head_id, layer, l2_normalized, projection, dimensions,
// encoding), with "id" and "l2" as short forms. A list joins its values by "x". A bool alone means
// true. An enum's value may leave out the enum's name and is not case-sensitive
// ("score_type=logits"). A kind that the proto gains works here without new code.
//
// INVALID_ARGUMENT with the valid names for anything else. Ranges are the server's to check.
absl::StatusOr<v1::Head> ParseHead(std::string_view spec);

// All kinds, in the order of the API.
std::vector<std::string> HeadKinds();

}  // namespace pixpool::client
