// Heads on maps of plain floats; no model, no torch in sight.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/heads/heads.h"

namespace pixpool {

// Feature maps in row-major order. Views.
struct MapsView {
  absl::Span<const float> values;  // [n, c, h, w]
  int64_t n = 1;
  int64_t c = 0;
  int64_t h = 0;
  int64_t w = 0;
  absl::Span<const int64_t> indices;  // as values, for heads with given_indices; else empty
};

// The scope in which heads for maps of `layer.channels` channels are validated: one layer without a
// name, no classifier, no data of a model. `layer` must outlive it.
HeadScope TensorScope(const LayerInfo& layer, bool given_indices);

// Applies validated heads to each map: [map][head]. Errors: HEAD_INVALID where a map is too small
// or a head needs a model, REQUEST_INVALID where values, indices and shape do not match or an index
// lies outside the output. Runs on the calling thread alone. Thread-safe.
absl::StatusOr<std::vector<std::vector<HeadOutput>>> PoolMaps(absl::Span<const HeadSpec> heads,
                                                              const MapsView& maps);

}  // namespace pixpool
