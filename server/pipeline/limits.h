// Limits that requests with images and requests with a tensor share. Internal to server/pipeline.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "server/heads/heads.h"
#include "server/image/image.h"
#include "server/model/model.h"
#include "server/pipeline/options.h"

namespace pixpool {

// LIMIT_EXCEEDED: what, how much, the limit and its flag, and what to do.
absl::Status OverLimit(std::string_view field, std::string_view what, int64_t actual,
                       FlagNumber limit, std::string_view advice);

absl::Status CheckHeadCount(const PipelineOptions& options, size_t heads);

// Of one image.
absl::Status CheckRegionCount(const PipelineOptions& options, size_t count);

// What the heads of a request cost, as far as their maps' sizes tell.
struct HeadCost {
  double response_bytes = 0;
  double operations = 0;  // values read

  // Adds one head on `maps` maps of this size, or vectors.
  void Add(const HeadSpec& head, const HeadExtents& map, int64_t maps);
};

// Map values that heads read in one pass over an input of this size, roughly.
double OperationsOnInput(absl::Span<const HeadSpec> heads, absl::Span<const LayerInfo> layers,
                         Size input);

// LIMIT_EXCEEDED where a pass over an input of this size, and `more` bytes, would not fit the
// memory alone, of which `most` is left for it.
absl::Status CheckPassBytes(const Model& model, Size input, absl::Span<const HeadSpec> heads,
                            int64_t most, std::string_view field, int64_t more = 0);

absl::Status CheckHeadCost(const PipelineOptions& options, const HeadCost& cost);

}  // namespace pixpool
