// What the first directory of a TIFF file says where libtiff passes over it in silence.
#pragma once

#include <string_view>

namespace pixpool {

// Whether it says that pixels are numbers of colours in a palette. libtiff takes them for shades of
// grey where it cannot read the palette. One pass over the directory; any bytes are safe.
bool SaysThatPixelsAreIndices(std::string_view tiff);

}  // namespace pixpool
