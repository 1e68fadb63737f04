// JPEG: which scale, which part, and what becomes of the colours.
#include <algorithm>
#include <memory>

#include "server/base/status_macros.h"
#include "server/image/codec.h"
#include "server/image/jpeg_decoder.h"
#include "server/image/jpeg_layout.h"
#include "server/image/row_block.h"

namespace pixpool {
namespace {

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
  // A block of rows, and of CMYK those it is made of.
  const int64_t spare = int64_t{layout.width} * (layout.components == 4 ? 4 * RowBlock::kRows : 3);
  const int64_t rows = RowBlock::MostBytes(layout.width) + spare;
  return ImageHeader{ImageFormat::kJpeg, layout.width, layout.height, layout.orientation,
                     layout.decode_bytes + rows};
}

absl::Status Failure(const JpegDecoder& decoder) {
  if (decoder.truncated()) {
    return Truncated(ImageFormat::kJpeg, "it ends before the last row of its picture");
  }
  return Undecodable(ImageFormat::kJpeg, decoder.failure());
}

absl::StatusOr<DecodeNotes> DecodeJpeg(std::string_view bytes, const ImageHeader& header,
                                       const DecodeOptions& options, RowSink* sink) {
  // Pillow's own reading of the markers is stricter here and there.
  PIXPOOL_RETURN_IF_ERROR(ReadJpegFrame(bytes).status());
  JpegDecoder decoder(bytes);
  if (!decoder.ReadHeader()) return Failure(decoder);
  if (decoder.size() != Size{header.width, header.height}) {
    return Undecodable(ImageFormat::kJpeg, "its size is not the header's");
  }
  if (!decoder.Start(Divisor(header, options))) return Failure(decoder);
  const Size size = decoder.scaled_size();
  if (size != DecodedSizeOfJpeg(header, options)) {
    return Undecodable(ImageFormat::kJpeg, "its size is not the header's");
  }
  const Region window =
      options.part ? decoder.Window(*options.part) : Region{0, 0, size.width, size.height};
  if (!decoder.Begin(window)) return Failure(decoder);
  RowBlock block(window, size, sink);
  // Of CMYK a block, else what is needed for the rows that nobody wants.
  const bool is_cmyk = decoder.components() == 4;
  const auto width = static_cast<size_t>(window.width);
  const std::unique_ptr<uint8_t[]> spare(
      new uint8_t[is_cmyk ? width * 4 * RowBlock::kRows : width * 3]);
  while (block.rows() < window.height) {
    int count = 0;
    uint8_t* const rgb = block.Next(RowBlock::kRows, &count);
    if (!decoder.Read(count, is_cmyk ? spare.get() : rgb)) return Failure(decoder);
    if (is_cmyk) CmykToRgb(spare.get(), width * static_cast<size_t>(count), rgb);
  }
  block.Finish();
  if (!decoder.End(spare.get())) return Failure(decoder);
  return DecodeNotes{.damages = decoder.damages(), .has_hidden_colors = false};
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
