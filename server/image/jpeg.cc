// JPEG: which scale, which part, and what becomes of the colours. libjpeg warns of missing data;
// what it does not report (a file cut between two scans) jpeg_layout finds.
#include <algorithm>
#include <memory>
#include <string>

#include "server/base/status_macros.h"
#include "server/image/codec.h"
#include "server/image/jpeg_decoder.h"
#include "server/image/jpeg_layout.h"

namespace pixpool {
namespace {

constexpr std::string_view kEndMarker = "\xff\xd9";

// What each side is divided by. libjpeg knows every eighth, but has fast transforms for these.
int Divisor(const ImageHeader& header, const DecodeOptions& options) {
  if (options.min_width < 1 || options.min_height < 1) return 1;
  const int spare = std::min(header.width / options.min_width, header.height / options.min_height);
  return spare >= 8 ? 8 : spare >= 4 ? 4 : spare >= 2 ? 2 : 1;
}

Size DecodedSizeOfJpeg(const ImageHeader& header, const DecodeOptions& options) {
  const int divisor = Divisor(header, options);
  return {(header.width + divisor - 1) / divisor, (header.height + divisor - 1) / divisor};
}

// What is to be decoded of a picture.
JpegJob MakeJob(const JpegLayout& layout, const ImageHeader& header, const DecodeOptions& options) {
  JpegJob job;
  job.divisor = Divisor(header, options);
  job.cmyk = layout.components == 4;
  job.size = DecodedSizeOfJpeg(header, options);
  job.part = {0, 0, job.size.width, job.size.height};
  job.row_of_blocks = JpegRowOfBlocks(layout, job.divisor);
  // Where a progressive file ended early, libjpeg smooths blocks by their neighbours.
  if (options.part && layout.all_scans) {
    job.part = JpegWindow(layout, job.divisor, job.size, *options.part);
  }
  return job;
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
  JpegJob job = MakeJob(layout, header, options);
  job.bytes = bytes;
  Image image(job.part, job.size);
  const size_t pixels = image.byte_size() / 3;
  std::unique_ptr<uint8_t[]> cmyk;
  if (job.cmyk) cmyk.reset(new uint8_t[pixels * 4]);
  const std::unique_ptr<uint8_t[]> spare(new uint8_t[static_cast<size_t>(image.width()) * 4]);
  const std::string failure =
      DecodeJpegPart(job, job.cmyk ? cmyk.get() : image.data(), spare.get());
  if (!failure.empty()) return Undecodable(ImageFormat::kJpeg, failure);
  if (job.cmyk) CmykToRgb(cmyk.get(), pixels, image.data());
  return image;
}

}  // namespace

const Codec kJpegCodec = {.name = "jpeg",
                          .title = "JPEG",
                          .wanted = "an 8-bit baseline or progressive JPEG",
                          .matches = IsJpeg,
                          .read_header = ReadJpegHeader,
                          .decode = DecodeJpeg,
                          .decoded_size = DecodedSizeOfJpeg};

}  // namespace pixpool
