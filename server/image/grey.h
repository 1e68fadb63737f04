// Pictures without their colours.
#pragma once

#include <cstdint>

namespace pixpool {

// Writes `pixels` RGB pixels whose three levels are the luma of those read (ITU-R BT.601), as
// Pillow's convert("L") rounds it. `to` may be `rgb`.
void ToGrey(const uint8_t* rgb, int pixels, uint8_t* to);

}  // namespace pixpool
