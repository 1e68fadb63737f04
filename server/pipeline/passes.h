// Several looks of the network at one picture, and their sum. Internal to server/pipeline.
#pragma once

#include <vector>

#include "server/pipeline/work.h"

namespace pixpool {

// The passes of an image with their network inputs made from the decoded picture. Keeps the picture
// where something is to be drawn on it.
std::vector<ImageWork> MakePasses(const ImageWork& image, Image picture);

// Puts the passes of an image together in its result: the sum of their vectors, the longest of
// their times. Where one failed, the image has its status.
void CombinePasses(const ImageWork& image);

}  // namespace pixpool
