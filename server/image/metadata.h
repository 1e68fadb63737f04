// Where the files of each format keep EXIF data and XMP, and which of them says how the picture is
// turned: what Pillow's ImageOps.exif_transpose goes by.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace pixpool {

// The orientation (1 to 8) by EXIF data, and by XMP where that does not state any; 1 where neither
// does. Empty: there is none.
int ReadOrientation(std::string_view exif, std::string_view xmp);

// Collects what the application segments of a JPEG say. The bytes must outlive it.
class JpegMetadata {
 public:
  // The body of an APP1 segment, without marker and length. Those before the first scan count: EXIF
  // data that is split over several is put together, of XMP packets the last one counts.
  void AddApp1(std::string_view body);
  int Orientation() const;
  // Bytes that it takes to put EXIF data together.
  size_t JoinedBytes() const;

 private:
  std::vector<std::string_view> exif_;  // of each segment
  std::string_view xmp_;
};

// The orientation that the chunks of a PNG state: eXIf, text chunks with EXIF data as digits ("Raw
// profile type exif", which ImageMagick writes) or XMP, before the pixels or behind them. Bounded:
// a few texts at most are unpacked, up to a mebibyte of each. Any bytes are safe.
int ReadPngOrientation(std::string_view file);

// The orientation that the EXIF and XMP chunks of an extended WebP state. `file` ends where its
// RIFF header says. Any bytes are safe.
int ReadWebpOrientation(std::string_view file);

}  // namespace pixpool
