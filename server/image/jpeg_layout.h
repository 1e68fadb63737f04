// What the markers of a JPEG file say before its first scan, read without decoding.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace pixpool {

struct JpegLayout {
  int width = 0;
  int height = 0;
  int components = 0;
  int orientation = 1;
  // What libjpeg holds while it decodes: some rows, or where there are several scans (progressive
  // files have) all coefficients, of two bytes each.
  int64_t decode_bytes = 0;
};

// Walks the markers up to the first scan by the rules of Pillow's JpegImagePlugin, which lets more
// pass than libjpeg (junk between segments, markers that have no business there): what Pillow then
// reads is what both read. Errors: IMAGE_UNDECODABLE; IMAGE_UNSUPPORTED_FORMAT for other than 8
// bits and for two components.
absl::StatusOr<JpegLayout> ReadJpegFrame(std::string_view bytes);

}  // namespace pixpool
