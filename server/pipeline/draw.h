// Box and picture of class activation maps. Internal to server/pipeline.
#pragma once

#include "absl/status/status.h"
#include "server/pipeline/work.h"

namespace pixpool {

// Whether a head has something to draw, and whether it draws on the picture.
bool Draws(const HeadSpec& head);
bool DrawsOnPicture(const HeadSpec& head);

// Gives the class activation maps of an image, whose heads are done, their box, and those that are
// asked for as a PNG their picture in place of values. Takes time that grows with the picture.
absl::Status DrawActivationMaps(const RequestWork& work, ImageState& image);

}  // namespace pixpool
