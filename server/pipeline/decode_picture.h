// From a request's image to pixels. Internal to server/pipeline.
#pragma once

#include "absl/status/statusor.h"
#include "server/pipeline/work.h"

namespace pixpool {

// The picture that the network's input is made of: at a reduced scale where the request allows it,
// and no more of it than the passes read. Where a head draws on the picture, ImageState::picture
// gets the whole of it as well, so that neither the vectors nor the drawing depend on the other.
// Errors: DecodeImage's.
absl::StatusOr<Image> DecodePicture(const ImageWork& image);

}  // namespace pixpool
