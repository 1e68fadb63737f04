// What the heads that read the model's classifier share.
#pragma once

#include <ATen/core/Tensor.h>

#include "server/heads/head_compute.h"

namespace pixpool {

// The classifier's logits for each map or vector, whichever it stands on, [N, classes].
at::Tensor ClassifierLogits(const HeadInput& input);

}  // namespace pixpool
