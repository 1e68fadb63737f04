// The picture in a bundle that proves that the whole path computes what PyTorch and Pillow
// computed.
#pragma once

#include "absl/status/status.h"
#include "server/bundle/manifest.h"
#include "server/model/model.h"

namespace pixpool {

// Runs the bundle's golden picture through decode, preprocess, backbone and heads (global_avg, and
// the vectors of the graph whose values the bundle has) on instance 0 and compares each.
// FAILED_PRECONDITION with both numbers where the cosine is below `min_cosine` or a value is not
// finite. OK where the bundle has no golden.
absl::Status CheckGolden(const Bundle& bundle, Model& model, double min_cosine);

}  // namespace pixpool
