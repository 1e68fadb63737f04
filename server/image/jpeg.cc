// JPEG through TurboJPEG, strictly: a warning is a failure, because libjpeg reports missing data as
// one and fills the rows with grey. What it does not report (a file cut between two scans)
// jpeg_layout finds.
#include <turbojpeg.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

#include "server/base/status_macros.h"
#include "server/image/codec.h"
#include "server/image/jpeg_layout.h"

namespace pixpool {
namespace {

constexpr std::string_view kEndMarker = "\xff\xd9";

// Some cameras pad the file before the end marker, which libjpeg warns about. This much is let
// pass; more means that the data ran out of step.
constexpr unsigned kMaxPadding = 64;

struct CloseHandle {
  void operator()(void* handle) const { tjDestroy(handle); }
};

tjhandle ThreadHandle() {
  thread_local const std::unique_ptr<std::remove_pointer_t<tjhandle>, CloseHandle> handle(
      tjInitDecompress());
  return handle.get();
}

bool IsPaddingWarning(const char* message) {
  unsigned count = 0;
  unsigned marker = 0;
  return std::sscanf(message, "Corrupt JPEG data: %u extraneous bytes before marker 0x%x", &count,
                     &marker) == 2 &&
         marker == 0xd9 && count <= kMaxPadding;
}

// What each side is divided by. libjpeg knows every eighth, but has fast transforms for these.
int Divisor(const ImageHeader& header, const DecodeOptions& options) {
  if (options.min_width < 1 || options.min_height < 1) return 1;
  const int spare = std::min(header.width / options.min_width, header.height / options.min_height);
  return spare >= 8 ? 8 : spare >= 4 ? 4 : spare >= 2 ? 2 : 1;
}

// Decodes at the picture's size, which TurboJPEG makes its scale of, with the accurate inverse DCT
// and smooth upsampling, which are the defaults of TurboJPEG and of Pillow. `pixels` has
// tjPixelSize[pixel_format] bytes a pixel.
absl::Status Decompress(std::string_view bytes, int width, int height, int pixel_format,
                        uint8_t* pixels) {
  const tjhandle handle = ThreadHandle();
  if (handle == nullptr) throw std::bad_alloc();
  const auto decode = [&](int flags) {
    return tjDecompress2(handle, reinterpret_cast<const unsigned char*>(bytes.data()),
                         static_cast<unsigned long>(bytes.size()), pixels, width,
                         width * tjPixelSize[pixel_format], height, pixel_format,
                         flags | TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) == 0;
  };
  if (decode(TJFLAG_STOPONWARNING)) return absl::OkStatus();
  const bool only_padding =
      tjGetErrorCode(handle) == TJERR_WARNING && IsPaddingWarning(tjGetErrorStr2(handle));
  // The strict pass came as far as the end marker, so all data is there; a progressive file has
  // given no pixels yet.
  if (only_padding && (decode(0) || tjGetErrorCode(handle) == TJERR_WARNING)) {
    return absl::OkStatus();
  }
  return Undecodable(ImageFormat::kJpeg, tjGetErrorStr2(handle));
}

// Adobe polarity (255 is no ink), no colour profile; the arithmetic of Pillow's convert("RGB").
void CmykToRgb(const uint8_t* cmyk, size_t pixels, uint8_t* rgb) {
  for (size_t i = 0; i < pixels; ++i, cmyk += 4, rgb += 3) {
    const unsigned light = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      const unsigned ink = (255u - cmyk[c]) * light + 128;
      rgb[c] = static_cast<uint8_t>(light - ((ink + (ink >> 8)) >> 8));
    }
  }
}

}  // namespace

bool IsJpeg(std::string_view bytes) { return bytes.substr(0, 3) == "\xff\xd8\xff"; }

absl::StatusOr<ImageHeader> ReadJpegHeader(std::string_view bytes) {
  PIXPOOL_ASSIGN_OR_RETURN(const JpegLayout layout, ReadJpegFrame(bytes));
  return ImageHeader{ImageFormat::kJpeg, layout.width, layout.height, layout.orientation};
}

absl::StatusOr<Image> DecodeJpeg(std::string_view bytes, const ImageHeader& header,
                                 const DecodeOptions& options) {
  PIXPOOL_ASSIGN_OR_RETURN(const JpegLayout layout, ReadJpegLayout(bytes));
  if (layout.width != header.width || layout.height != header.height) {
    return Undecodable(ImageFormat::kJpeg, "its size is not the header's");
  }
  bytes = bytes.substr(0, layout.end);
  std::string completed;
  if (!layout.has_end_marker) {
    if (!layout.all_scans) return Undecodable(ImageFormat::kJpeg, "it is truncated");
    // With an end marker in place, libjpeg warns only if pixels are missing.
    completed.reserve(bytes.size() + kEndMarker.size());
    completed.append(bytes).append(kEndMarker);
    bytes = completed;
  }
  const tjscalingfactor scale = {1, Divisor(header, options)};
  Image image(TJSCALED(header.width, scale), TJSCALED(header.height, scale));
  const auto decompress = [&](int pixel_format, uint8_t* to) {
    return Decompress(bytes, image.width(), image.height(), pixel_format, to);
  };
  if (layout.components != 4) {
    PIXPOOL_RETURN_IF_ERROR(decompress(TJPF_RGB, image.data()));
    return image;
  }
  const size_t pixels = image.byte_size() / 3;
  const std::unique_ptr<uint8_t[]> cmyk(new uint8_t[pixels * 4]);
  PIXPOOL_RETURN_IF_ERROR(decompress(TJPF_CMYK, cmyk.get()));
  CmykToRgb(cmyk.get(), pixels, image.data());
  return image;
}

}  // namespace pixpool
