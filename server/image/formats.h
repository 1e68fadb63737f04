// The image formats: those that the server decodes, and those that it only knows by name. A format
// that is to be decoded needs its entry in the first list and its .cc with the Codec (codec.h);
// enumeration, declarations and table follow from the list.
#pragma once

#include <cstddef>
#include <string_view>

// F(Jpeg) stands for ImageFormat::kJpeg and kJpegCodec, which jpeg.cc defines. Bytes are of the
// first format that takes them, and messages list the formats in this order. A build may lack the
// library of some (Codec::build_option); it refuses them by name.
#define PIXPOOL_IMAGE_FORMATS(F) F(Jpeg) F(Png) F(Webp) F(Gif) F(Bmp) F(Tiff) F(Avif) F(Heic)

namespace pixpool {

#define PIXPOOL_ENUMERATOR(Name) k##Name,
enum class ImageFormat { PIXPOOL_IMAGE_FORMATS(PIXPOOL_ENUMERATOR) };
#undef PIXPOOL_ENUMERATOR

// What errors, metrics and options call each: its entry in lower case, such as kJpegName.view().
template <size_t kSize>
struct LowerCaseText {
  consteval LowerCaseText(const char (&literal)[kSize]) {
    for (size_t i = 0; i < kSize; ++i) {
      const bool upper = literal[i] >= 'A' && literal[i] <= 'Z';
      text[i] = static_cast<char>(upper ? literal[i] - 'A' + 'a' : literal[i]);
    }
  }
  constexpr std::string_view view() const { return {text, kSize - 1}; }

  char text[kSize] = {};
};
#define PIXPOOL_NAME(Name) inline constexpr LowerCaseText k##Name##Name(#Name);
PIXPOOL_IMAGE_FORMATS(PIXPOOL_NAME)
#undef PIXPOOL_NAME

#define PIXPOOL_ONE(Name) +1
inline constexpr int kImageFormatCount = 0 PIXPOOL_IMAGE_FORMATS(PIXPOOL_ONE);
#undef PIXPOOL_ONE

// Formats that people send by mistake, told by name. Only for the message: none of them is decoded.
struct OtherFormat {
  size_t offset;
  std::string_view magic;
  std::string_view title;
};
inline constexpr OtherFormat kOtherFormats[] = {
    {4, "ftypcrx", "camera raw"},  // CR3; others are among TIFF's
    {0, std::string_view("IIU\0", 4), "camera raw"},
    {0, "IIR", "camera raw"},
    {0, "MMOR", "camera raw"},
    {0, "FUJIFILMCCD-RAW", "camera raw"},
    {0, "FOVb", "camera raw"},
    {0, std::string_view("\0MRM", 4), "camera raw"},
    {4, "jP  ", "JPEG 2000"},
    {0, "\xff\x4f\xff\x51", "JPEG 2000"},
    {0, "\xff\x0a", "JPEG XL"},
    {4, "JXL ", "JPEG XL"},
    {0, "\x76\x2f\x31\x01", "OpenEXR"},
    {0, "#?RADIANCE", "Radiance HDR"},
    {128, "DICM", "DICOM"},
    {0, "%PDF", "PDF"},
    {0, "<svg", "SVG"},
    {0, std::string_view("\0\0\1\0", 4), "ICO"},
    {0, "8BPS", "Photoshop"},
};

}  // namespace pixpool
