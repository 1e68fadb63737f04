// Box and picture of class activation maps. Internal to server/pipeline.
#pragma once

#include "absl/status/status.h"
#include "server/pipeline/work.h"

namespace pixpool {

// Whether a head has something to draw, and whether it draws on the picture.
bool Draws(const HeadSpec& head);
bool DrawsOnPicture(const HeadSpec& head);

// Finds the box of every class activation map of an image whose heads are done. A map that was
// asked for as a PNG gets its picture, which then stands in place of its values. The time this
// takes grows with the size of the picture. Errors: OVERLOADED where there is no memory for a
// picture.
absl::Status DrawActivationMaps(const RequestWork& work, ImageState& image);

// Does that for an image unless its call is over, and notes the time. Never throws.
void DrawImage(const ImageWork& image, const Clock* clock);

}  // namespace pixpool
