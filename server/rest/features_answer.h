// The answer of POST /v1/features.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/pipeline/request.h"
#include "server/rest/answer.h"
#include "server/rest/features.h"

namespace pixpool::rest {

// `names` of the pictures' files, as far as they have any. Where every picture failed, the error of
// the first. Forms other than JSON hold one tensor: else HEAD_INVALID.
absl::StatusOr<Answer> FeaturesAnswer(Format format, const std::vector<std::string>& names,
                                      ExtractResult* result);

}  // namespace pixpool::rest
