// Orientation from an XMP packet.
#pragma once

#include <optional>
#include <string_view>

namespace pixpool {

// The orientation that an XMP packet states as tiff:Orientation, an attribute or an element, by the
// rule of Pillow's getexif(): the first such place that a digit follows, whatever is around it. 1
// where that digit is none of 1 to 8; nullopt where there is none. One pass over the packet.
std::optional<int> ReadXmpOrientation(std::string_view xmp);

}  // namespace pixpool
