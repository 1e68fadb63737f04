// From an image of a request to its looks of the network, and their sum. Internal to
// server/pipeline.
#pragma once

#include <cstdint>
#include <vector>

#include "server/input/picture_inputs.h"
#include "server/isolation/decode_workers.h"
#include "server/pipeline/work.h"
#include "server/pipeline/work_queue.h"

namespace pixpool {

// The parts of an image's picture that are pictures of their own.
std::vector<Region> PartsOf(const ImageState& image);

// Pixels of the picture that are resized for those, with each scale.
int64_t CropPixels(const RequestWork& work, const ImageState& image);

// What the network gets of an image: files are decoded in `workers`, unless that is null.
absl::StatusOr<PictureInputs> MakeInputs(const ImageWork& image, DecodeWorkers* workers,
                                         const Clock& clock);

// The passes of an image with their network inputs, which are those of PictureInputs.
std::vector<ImageWork> MakePasses(const ImageWork& image, std::vector<Image> inputs);

// Puts the passes of an image together in its result: for the picture and for each of its crops the
// sum of their vectors, and the longest of all times. Where one failed, the image has its status.
void CombinePasses(const ImageWork& image);

// The image with what came with its turn.
ImageWork WithTurn(ImageWork image, WorkQueue::Turn turn);

}  // namespace pixpool
