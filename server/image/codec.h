// What a format is made of, one .cc each, the table of all, and what their files share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/image/decode.h"
#include "server/image/formats.h"
#include "server/image/rows.h"

namespace pixpool {

// A format, defined in the .cc of its name. The functions are thread-safe and safe on any bytes;
// read_header neither allocates for the pixels nor checks limits, and says what decode holds;
// decode gives the picture's rows as they are stored to a sink (orientation is the caller's
// business; in DecodeOptions, min_width, min_height and part mean the stored axes) and fails unless
// the size in the bytes is the header's; what comes back is what is to be said of a file
// that it decodes, and whether damage is refused is the caller's business; decoded_size is that
// of the whole picture, as stored.
struct Codec {
  std::string_view name;    // "jpeg", for errors' metadata and metrics: the title in lower case
  std::string_view title;   // "JPEG", for messages
  std::string_view wanted;  // what a client may send, with its article: "a PNG"
  bool (*matches)(std::string_view bytes);
  absl::StatusOr<ImageHeader> (*read_header)(std::string_view bytes);
  // Gives rows as it decodes them where the format allows it (RowBlock of row_block.h), else the
  // whole picture with TakeAll.
  absl::StatusOr<DecodeNotes> (*decode)(std::string_view bytes, const ImageHeader& header,
                                        const DecodeOptions& options, RowSink* sink);
  // Null: always the size of the file.
  Size (*decoded_size)(const ImageHeader& header, const DecodeOptions& options) = nullptr;
  // Of a format that a build may go without, the option of CMake that says so; read_header and
  // decode are null in such a build.
  std::string_view build_option = "";

  bool is_built() const { return decode != nullptr; }
};

// Pixels of a picture, for sums of what decoding holds. A header may state any sides; those that no
// limit lets through (ImageLimits::kMaxSide) are cut, so that the products fit.
inline int64_t BoundedPixels(int64_t width, int64_t height) {
  constexpr int64_t kMost = 1 << 20;
  static_assert(kMost > ImageLimits::kMaxSide.max);
  return std::min(width, kMost) * std::min(height, kMost);
}

#define PIXPOOL_DECLARATION(Name) extern const Codec k##Name##Codec;
PIXPOOL_IMAGE_FORMATS(PIXPOOL_DECLARATION)
#undef PIXPOOL_DECLARATION

// All codecs, in the order of ImageFormat. Bytes are of the first that matches.
#define PIXPOOL_ROW(Name) &k##Name##Codec,
inline constexpr const Codec* kCodecs[] = {PIXPOOL_IMAGE_FORMATS(PIXPOOL_ROW)};
#undef PIXPOOL_ROW

// The codec whose magic the bytes carry, built or not; nullptr if there is none.
const Codec* FindCodec(std::string_view bytes);
const Codec& CodecOf(ImageFormat format);

// The titles of the formats of this build that are taken, as "A, B or C".
std::string FormatTitles(const ImageLimits& limits = {});

// IMAGE_UNDECODABLE: "<format> image cannot be decoded: <detail>; send another copy, or save the
// picture anew".
absl::Status Undecodable(ImageFormat format, std::string_view detail);

// The same where bytes are missing, and with that advice: "; check that the file is complete".
absl::Status Truncated(ImageFormat format, std::string_view detail);

// IMAGE_UNSUPPORTED_FORMAT for a variant of a format that is otherwise decoded, such as "12-bit
// JPEG", with what may be sent.
absl::Status UnsupportedVariant(ImageFormat format, std::string_view variant);

}  // namespace pixpool
