// What the markers of a JPEG file say, read without decoding.
#pragma once

#include <cstddef>
#include <string_view>

#include "absl/status/statusor.h"

namespace pixpool {

struct JpegLayout {
  int width = 0;
  int height = 0;
  int components = 0;
  // Largest sampling factors of a component, as the file has them: 1 to 4 in a valid one.
  int max_h_sampling = 0;
  int max_v_sampling = 0;
  int orientation = 1;
  // Where the picture ends: after its end marker, or at the end of the bytes where there is none.
  size_t end = 0;
  bool has_end_marker = false;
  // Whether the scans seen carry every bit of every coefficient. libjpeg fills what a progressive
  // file lacks with zeros and says nothing, so this is how a file cut between two scans is told
  // from a whole one.
  bool all_scans = false;
};

// Walks the marker segments up to the first scan and leaves `end` and the fields after it alone.
// Errors: IMAGE_UNDECODABLE; IMAGE_UNSUPPORTED_FORMAT for 12-bit, lossless, hierarchical and
// arithmetic-coded files and for two components.
absl::StatusOr<JpegLayout> ReadJpegFrame(std::string_view bytes);

// Walks the whole file, one pass over its bytes. Errors as above, and IMAGE_UNDECODABLE for more
// scans than any sane encoder writes: each costs a pass over all coefficients, however few bytes it
// has.
absl::StatusOr<JpegLayout> ReadJpegLayout(std::string_view bytes);

}  // namespace pixpool
