// Regions of images as tensors.
#pragma once

#include "absl/status/status.h"
#include "server/kserve/inputs.h"
#include "server/pipeline/options.h"
#include "server/pipeline/request.h"

namespace pixpool::kserve {

// Gives the images of `request` the regions of the inputs: of each image the first `region_count`
// rows of its part of "regions", without that input all of them. `relative` says what their edges
// count. What a region may be is left to the pipeline. Errors: REQUEST_INVALID for types, shapes
// and counts that fit neither the images nor each other, and where no image has a region;
// An image with more than the options allow is invalid itself.
absl::Status SetRegions(const Inputs& inputs, const PipelineOptions& options, bool relative,
                        ExtractRequest* request);

}  // namespace pixpool::kserve
