// Class activation maps as people see them: over the picture, and as a box around the evidence.
#pragma once

#include <string>

#include "absl/types/span.h"
#include "server/image/image.h"

namespace pixpool {

// Evidence for a class, [height, width], over an area of a picture. What is shown of it is its
// heat: negative values clipped, divided by the maximum; 0 everywhere where no value is positive.
struct ActivationView {
  absl::Span<const float> values;
  int height = 0;
  int width = 0;
  // The part of the picture that the network saw. It may reach beyond the picture where that was
  // padded.
  RegionF area;
};

// Box around the largest 8-connected part with a heat above 0.2 (Zhou et al., "Learning Deep
// Features for Discriminative Localization", 2016), the heat being resized bilinearly to the
// network's input and the box clipped to the picture; empty where there is none. Sizes are
// [height, width].
Region EvidenceBox(const ActivationView& map, int input_height, int input_width, int picture_height,
                   int picture_width);

// The heat in colours, resized bilinearly over its area; without evidence the colour is black.
Image DrawHeatmap(const ActivationView& map, int picture_height, int picture_width);

// The same colours laid over the picture, more opaque where there is more evidence. Where there is
// none the picture stays as it is.
void LayHeatmapOver(const ActivationView& map, Image& picture);

// A PNG file of the picture, compressed for speed. Empty where memory runs out.
std::string EncodePng(const Image& picture);

}  // namespace pixpool
