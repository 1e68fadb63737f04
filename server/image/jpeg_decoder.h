// libjpeg-turbo for one picture: all of it, or a part, for which the inverse DCT, the upsampling
// and the colour conversion of the rest are left out. Its entropy-coded data is decoded and checked
// in any case.
//
// A file is taken or refused as Pillow does. Pillow gives libjpeg the file in blocks of 64 KiB and
// takes no notice of its warnings. Where libjpeg wants more than there is, the file is truncated;
// once all rows are out, only what it finds wrong in the block at hand ends the picture.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "server/image/damage.h"
#include "server/image/image.h"

namespace pixpool {

// For one picture, as libjpeg keeps quantisation and Huffman tables for as long as a decompressor
// lives: a file that lacks some would be decoded with those of the picture before it. Making one
// takes about a microsecond. Not thread-safe.
class JpegDecoder {
 public:
  // The bytes must outlive the decoder.
  explicit JpegDecoder(std::string_view bytes);
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  // ReadHeader, Start, Begin, Read and End are called in this order, once each but for Read. They
  // give false where the file cannot be decoded; why is in failure() and truncated(). They throw
  // std::bad_alloc.

  // Reads up to the first scan.
  bool ReadHeader();
  Size size() const;
  int components() const;

  // Sets up the decoding at 1/1, 1/2, 1/4 or 1/8 of each side (rounded up) to RGB, or to CMYK as
  // stored where there are four components, with the accurate inverse DCT and smooth upsampling,
  // libjpeg's and Pillow's defaults. Decodes all scans where there are several.
  bool Start(int divisor);
  Size scaled_size() const;

  // What is to be decoded, so that the pixels of `needed` are what they are in the whole picture:
  // as libjpeg can begin at some rows and columns only, and at an edge of the part it smooths
  // colours as at an edge of the picture. Everything, where little would be left out.
  Region Window(const Region& needed) const;

  // Goes to the first row of a window.
  bool Begin(const Region& window);
  // Decodes the next rows of the window, which it has, to `pixels`.
  bool Read(int rows, uint8_t* pixels);
  // Checks the rest of the file. `spare` has room for a row of the window.
  bool End(uint8_t* spare);

  // What was wrong and did not keep the picture from being read.
  DamageList damages() const;
  // Whether the bytes ended before the picture did.
  bool truncated() const;
  // libjpeg's words.
  std::string_view failure() const;

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace pixpool
