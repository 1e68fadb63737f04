#include "server/image/codec.h"

#include <iterator>
#include <string>

#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

Size FullSize(const ImageHeader& header, const DecodeOptions&) {
  return {header.width, header.height};
}

constexpr Codec kCodecs[] = {
    {ImageFormat::kJpeg, IsJpeg, ReadJpegHeader, DecodeJpeg, JpegDecodedSize},
    {ImageFormat::kPng, IsPng, ReadPngHeader, DecodePng, FullSize},
    {ImageFormat::kWebp, IsWebp, ReadWebpHeader, DecodeWebp, FullSize},
};

constexpr bool RowsMatchEnum() {
  for (int i = 0; i < kImageFormatCount; ++i) {
    if (static_cast<int>(kCodecs[i].format) != i) return false;
  }
  return true;
}
static_assert(std::size(kCodecs) == kImageFormatCount && RowsMatchEnum(),
              "kCodecs must list every ImageFormat in the order of the enum");

}  // namespace

const Codec* FindCodec(std::string_view bytes) {
  for (const Codec& codec : kCodecs) {
    if (codec.matches(bytes)) return &codec;
  }
  return nullptr;
}

const Codec& CodecOf(ImageFormat format) { return kCodecs[static_cast<int>(format)]; }

absl::Status Undecodable(ImageFormat format, std::string_view detail) {
  ErrorDetails details;
  details.reason = ErrorReason::kImageUndecodable;
  details.metadata = {{"format", std::string(FormatName(format))}, {"detail", std::string(detail)}};
  return MakeError(details, Concat(FormatName(format), " image cannot be decoded: ", detail,
                                   "; check that the file is complete"));
}

absl::Status UnsupportedVariant(ImageFormat format, std::string_view variant) {
  ErrorDetails details;
  details.reason = ErrorReason::kImageUnsupportedFormat;
  details.metadata = {{"format", std::string(FormatName(format))},
                      {"variant", std::string(variant)}};
  return MakeError(details, Concat(variant, " is not supported; send an 8-bit baseline or ",
                                   "progressive JPEG, a PNG or a WebP image"));
}

}  // namespace pixpool
