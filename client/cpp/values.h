// The values of a result as floats, in whatever encoding they travelled.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::client {

// The values of `result` in row-major order of its shape: FLOAT32 as sent, FLOAT16 widened, INT8
// times its scale, BINARY as 0 and 1. Empty for a result that has none: class_scores, and a class
// activation map as PNG.
//
// INTERNAL, naming the head, for a result that contradicts itself: as many values as its shape says
// are not there, they are in the wrong field, or the encoding is none that this library knows.
absl::StatusOr<std::vector<float>> DecodeValues(const v1::HeadResult& result);

// "float16" of ENCODING_FLOAT16, as ParseHead reads it; "float32" where none is given.
std::string EncodingName(v1::Encoding encoding);

}  // namespace pixpool::client
