// BYTES tensors as they travel: each element with its length in four bytes, little-endian, before
// it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace pixpool::kserve {

// The `count` elements of a tensor, as views into it. INVALID_ARGUMENT where the bytes do not add
// up, with the offset, or hold another number of elements.
absl::StatusOr<std::vector<std::string_view>> SplitBytes(std::string_view tensor, size_t count);

// Appends one element. At most 4 GiB.
void AppendBytes(std::string_view element, std::string* tensor);

}  // namespace pixpool::kserve
