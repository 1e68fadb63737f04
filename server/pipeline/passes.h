// From an image of a request to its looks of the network, and their sum. Internal to
// server/pipeline.
#pragma once

#include <vector>

#include "server/input/picture_inputs.h"
#include "server/isolation/decode_workers.h"
#include "server/pipeline/work.h"

namespace pixpool {

// What the network gets of an image: files are decoded in `workers`, unless that is null.
absl::StatusOr<PictureInputs> MakeInputs(const ImageWork& image, DecodeWorkers* workers,
                                         const Clock& clock);

// The passes of an image with their network inputs, which are in the order of PassesOf.
std::vector<ImageWork> MakePasses(const ImageWork& image, std::vector<Image> inputs);

// Puts the passes of an image together in its result: the sum of their vectors, the longest of
// their times. Where one failed, the image has its status.
void CombinePasses(const ImageWork& image);

}  // namespace pixpool
