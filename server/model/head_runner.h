// One head on one map of plain floats; no model, no torch in sight.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/model/heads.h"

namespace pixpool {

// Applies a validated head to a map [c, h, w]. Errors: HEAD_INVALID where the map is too small or
// the head needs a classifier, REQUEST_INVALID where values and shape do not match. Thread-safe.
absl::StatusOr<HeadOutput> ApplyHead(const HeadSpec& spec, absl::Span<const float> map, int64_t c,
                                     int64_t h, int64_t w);

}  // namespace pixpool
