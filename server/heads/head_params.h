// Parameters of heads: checking one against its row of the table, and their text forms.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/heads/heads.h"

namespace pixpool {

// The parameters of `type` with all defaults filled in, each checked and in its canonical form:
// floats rounded to float32 as they travel, lists of two. Unknown names are refused. HEAD_INVALID
// with the field "gem.p".
absl::StatusOr<ParamMap> ResolveParams(const HeadType& type, const ParamMap& given);

// "bool", "int", "float", "int_list", "enum", "text".
std::string_view ParamTypeName(ParamType type);

// Text of a value: "true", "3", "1e-06" (shortest that reads back as the same float32), "2x3",
// "softmax".
std::string ParamText(const ParamValue& value);

// The parameters of a head with in_space equal to `in_space`: ";p=3;eps=1e-06". Absent ones read
// "none".
std::string ParamsText(const HeadType& type, const ParamMap& params, bool in_space);

}  // namespace pixpool
