// JPEG through TurboJPEG, strictly: a warning is a failure, because libjpeg reports missing data as
// one and fills the rows with grey. What it does not report (a file cut between two scans)
// jpeg_layout finds.
#include <turbojpeg.h>

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

// Decodes into rows of `width * channels` bytes, with the accurate inverse DCT and smooth
// upsampling, which are the defaults of TurboJPEG and of Pillow.
absl::Status Decompress(std::string_view bytes, const ImageHeader& header, int pixel_format,
                        uint8_t* pixels) {
  const tjhandle handle = ThreadHandle();
  if (handle == nullptr) throw std::bad_alloc();
  const auto decode = [&](int flags) {
    return tjDecompress2(handle, reinterpret_cast<const unsigned char*>(bytes.data()),
                         static_cast<unsigned long>(bytes.size()), pixels, header.width,
                         header.width * tjPixelSize[pixel_format], header.height, pixel_format,
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
                                 const DecodeOptions&) {
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
  Image image(header.width, header.height);
  if (layout.components != 4) {
    PIXPOOL_RETURN_IF_ERROR(Decompress(bytes, header, TJPF_RGB, image.data()));
    return image;
  }
  const size_t pixels = image.byte_size() / 3;
  const std::unique_ptr<uint8_t[]> cmyk(new uint8_t[pixels * 4]);
  PIXPOOL_RETURN_IF_ERROR(Decompress(bytes, header, TJPF_CMYK, cmyk.get()));
  CmykToRgb(cmyk.get(), pixels, image.data());
  return image;
}

}  // namespace pixpool
