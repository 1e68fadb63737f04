// What decoding a picture may take, from its header and plan.
#pragma once

#include <chrono>

#include "server/input/picture_inputs.h"
#include "server/isolation/worker_process.h"

namespace pixpool {

// Far above what any picture of this size takes, and far below what a machine has: what goes beyond
// is no decoder at work. `patience` is what the smallest picture has of a processor's time.
WorkBounds BoundsOf(const PictureTask& task, int64_t input_pixels,
                    std::chrono::milliseconds patience);

}  // namespace pixpool
