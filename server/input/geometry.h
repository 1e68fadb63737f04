// What a plan makes of a picture, in sizes. Internal to server/input.
#pragma once

#include "server/image/image.h"
#include "server/image/resize.h"
#include "server/input/preprocess.h"

namespace pixpool {

// One axis of a crop, with the padding that torchvision gives a side which is too short.
struct CropAxis {
  int source = 0;  // first row or column taken from the picture
  int target = 0;  // where it goes
  int count = 0;
};

CropAxis CenterAxis(int side, int crop);

struct Geometry {
  Size from;     // of the picture as it was decoded, upright
  Size resized;  // of all of it
  Size wanted;   // of the network's input
  CropAxis x;    // from the one to the other
  CropAxis y;
  ResizeFilter filter = ResizeFilter::kBicubic;

  bool unchanged() const { return resized == from && wanted == from; }
  // What the crop keeps of the resized picture; only that is computed: a long thin picture has
  // millions of pixels once resized.
  Region kept() const { return {x.source, y.source, x.count, y.count}; }
  bool is_padded() const { return x.count != wanted.width || y.count != wanted.height; }
};

// For a picture that was decoded at size `from`, where the file says `full`.
Geometry GeometryOf(const InputPlan& plan, Size from, Size full);

}  // namespace pixpool
