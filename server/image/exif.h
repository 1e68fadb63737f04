// Orientation from EXIF data.
#pragma once

#include <string_view>

namespace pixpool {

// The orientation (1 to 8) that a block of EXIF data states in its first directory, with or without
// the leading "Exif\0\0"; 1 if there is none or the block is malformed. Reads each directory entry
// at most once and follows no link to another directory, so no block can make it loop.
int ReadExifOrientation(std::string_view exif);

}  // namespace pixpool
