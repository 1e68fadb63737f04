// From a request's image to pixels. Internal to server/engine.
#pragma once

#include "absl/status/statusor.h"
#include "server/engine/work.h"

namespace pixpool {

// The picture that the network's input is made of: at a reduced scale where the request allows it,
// and no more of it than the passes read.
// Where a head draws on the picture, the picture in full is put in work.pictures then, since both
// the vectors and the drawing must be what they are without the other. Errors: DecodeImage's.
absl::StatusOr<Image> DecodePicture(const ImageWork& image);

}  // namespace pixpool
