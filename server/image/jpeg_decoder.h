// libjpeg-turbo for one picture at a time: all of it, or a part, for which the inverse DCT, the
// upsampling and the colour conversion of the rest are left out. Its entropy-coded data is decoded
// and checked in any case.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/image/image.h"
#include "server/image/jpeg_layout.h"

namespace pixpool {

struct JpegJob {
  std::string_view bytes;  // with an end marker
  int divisor = 1;         // of each side: 1, 2, 4 or 8
  bool cmyk = false;       // 4 bytes a pixel as stored, in place of RGB
  Size size;               // of the whole picture at that scale
  Region part;             // what JpegWindow gave
  int row_of_blocks = 8;   // what it decodes at a time, in rows
};

// The rows that libjpeg decodes at a time, at the scale of `divisor`.
int JpegRowOfBlocks(const JpegLayout& layout, int divisor);

// What is to be decoded, so that the pixels of `needed` are what they are in the whole picture: as
// libjpeg can begin at some rows and columns only, and at an edge of the part it smooths colours as
// at an edge of the picture. Everything, where little would be left out.
Region JpegWindow(const JpegLayout& layout, int divisor, Size size, const Region& needed);

// Decodes with the accurate inverse DCT and smooth upsampling, libjpeg's and Pillow's defaults.
// `pixels` has room for the part's, `spare` for one row of them. Strictly: a warning is a failure,
// because libjpeg reports missing data as one and fills the rows with grey; but some cameras pad
// the file before the end marker, which is let pass. Returns libjpeg's words for a failure; empty
// where there is none. Throws std::bad_alloc.
std::string DecodeJpegPart(const JpegJob& job, uint8_t* pixels, uint8_t* spare);

}  // namespace pixpool
