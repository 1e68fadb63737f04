// Orientation from EXIF data.
#pragma once

#include <optional>
#include <string_view>

namespace pixpool {

// The orientation that a block of EXIF data states in its first directory, by the rules of Pillow's
// getexif(): with or without the leading "Exif\0\0", in either byte order, as a number of any
// width. 1 where what it states is none of 1 to 8, is text or bytes, or where the block is no TIFF
// structure; nullopt where it says nothing about orientation, so that XMP may.
// Reads each directory entry at most once and follows no link to another directory, so no block can
// make it loop.
std::optional<int> ReadExifOrientation(std::string_view exif);

}  // namespace pixpool
