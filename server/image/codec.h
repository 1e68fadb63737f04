// The formats that are decoded, one table row each, and what their files share. A new format is one
// .cc and one row in codec.cc.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/image/decode.h"

namespace pixpool {

// One format. The functions are thread-safe and safe on any bytes; read_header neither allocates
// for the pixels nor checks limits; decode returns the picture as stored (orientation is applied by
// the caller; in DecodeOptions, min_width, min_height and part mean the stored axes) and fails
// unless the size in the bytes is the header's; decoded_size is that of the whole picture, as
// stored.
struct Codec {
  ImageFormat format;
  bool (*matches)(std::string_view bytes);
  absl::StatusOr<ImageHeader> (*read_header)(std::string_view bytes);
  absl::StatusOr<Image> (*decode)(std::string_view bytes, const ImageHeader& header,
                                  const DecodeOptions& options);
  Size (*decoded_size)(const ImageHeader& header, const DecodeOptions& options);
};

// The codec whose magic the bytes carry; nullptr if there is none.
const Codec* FindCodec(std::string_view bytes);
const Codec& CodecOf(ImageFormat format);

bool IsJpeg(std::string_view bytes);
absl::StatusOr<ImageHeader> ReadJpegHeader(std::string_view bytes);
absl::StatusOr<Image> DecodeJpeg(std::string_view bytes, const ImageHeader& header,
                                 const DecodeOptions& options);

Size JpegDecodedSize(const ImageHeader& header, const DecodeOptions& options);

bool IsPng(std::string_view bytes);
absl::StatusOr<ImageHeader> ReadPngHeader(std::string_view bytes);
absl::StatusOr<Image> DecodePng(std::string_view bytes, const ImageHeader& header,
                                const DecodeOptions& options);

bool IsWebp(std::string_view bytes);
absl::StatusOr<ImageHeader> ReadWebpHeader(std::string_view bytes);
absl::StatusOr<Image> DecodeWebp(std::string_view bytes, const ImageHeader& header,
                                 const DecodeOptions& options);

// IMAGE_UNDECODABLE: "<format> image cannot be decoded: <detail>; check that the file is complete".
absl::Status Undecodable(ImageFormat format, std::string_view detail);

// IMAGE_UNSUPPORTED_FORMAT for a variant of a format that is otherwise decoded, such as "12-bit
// JPEG".
absl::Status UnsupportedVariant(ImageFormat format, std::string_view variant);

}  // namespace pixpool
