// The regions of a request's images: what may be asked, where they lie, what they cost. Internal to
// server/pipeline.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "server/heads/heads.h"
#include "server/model/model.h"
#include "server/pipeline/limits.h"
#include "server/pipeline/options.h"
#include "server/pipeline/work.h"

namespace pixpool {

// Whether any image of a request has regions.
bool HasRegions(const ExtractRequest& request);

// How regions' maps are pooled, in mode kMap. REQUEST_INVALID with the field
// ("region_options.aligned") for what is out of range or does not apply to the mode.
absl::StatusOr<RegionPooling> ResolveRegionPooling(const RegionOptions& options);

// Whether these heads can be applied to regions' maps: HEAD_INVALID for those that read no map, or
// a larger one. REQUEST_INVALID where there are several passes over each image.
absl::Status CheckRegionHeads(absl::Span<const HeadSpec> heads, const RequestWork& work);

// Checks the regions of an image whose sizes are known, and notes in its state where they lie and
// what they cost in heads' work and memory. The field is relative to the image
// ("regions[2].right"). No pass may take more memory than `most_pass_bytes`.
absl::Status PlanRegions(const PipelineOptions& options, const RequestWork& work,
                         const Model& model, absl::Span<const HeadSpec> heads,
                         int64_t most_pass_bytes, ImageState* image);

// The same in mode kCrop, of an image whose header is read: each region becomes whole pixels (both
// ends rounded half to even, at least one pixel) and then the network's input as a picture would.
// Together they are at most as large as a picture may be, with each scale.
absl::Status PlanCrops(const PipelineOptions& options, const RequestWork& work, const Model& model,
                       absl::Span<const HeadSpec> heads, int64_t most_pass_bytes,
                       ImageState* image);

// Adds what the heads of an image's regions cost, of crops beside that of their passes.
void AddRegions(const RequestWork& work, absl::Span<const HeadSpec> heads, const ModelInfo& info,
                const ImageState& image, HeadCost* cost);

}  // namespace pixpool
