// What libavif does not ask of dav1d, its decoder of AV1.
#pragma once

namespace pixpool {

// Whether libavif's calls come through avif_dav1d.cc, which keeps dav1d from writing to standard
// error and from decoding more than 8 frames for a picture.
bool Dav1dIsBounded();

}  // namespace pixpool
