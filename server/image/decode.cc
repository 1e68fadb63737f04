#include "server/image/decode.h"

#include <exception>
#include <string>
#include <utility>

#include "server/base/error.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/image/codec.h"
#include "server/image/formats.h"

namespace pixpool {
namespace {

absl::Status NotSupported(std::string_view bytes) {
  const std::string advice = Concat("; send a ", FormatTitles(), " image");
  for (const OtherFormat& other : kOtherFormats) {
    if (bytes.size() <= other.offset ||
        bytes.substr(other.offset, other.magic.size()) != other.magic) {
      continue;
    }
    ErrorDetails details;
    details.reason = ErrorReason::kImageUnsupportedFormat;
    details.metadata = {{"format", std::string(other.title)}};
    return MakeError(details, Concat(other.title, " is not supported", advice));
  }
  return MakeError(
      ErrorReason::kImageUnsupportedFormat,
      Concat(bytes.empty() ? "image has no bytes" : "image format not recognised", advice));
}

// LIMIT_EXCEEDED: "image is <actual> <unit>; the limit is <limit> (<flag>); <advice>".
absl::Status OverLimit(int64_t actual, std::string_view unit, FlagNumber limit,
                       std::string_view advice) {
  ErrorDetails details;
  details.reason = ErrorReason::kLimitExceeded;
  details.metadata = {{"actual", Concat(actual)},
                      {"limit", Concat(limit.value)},
                      {"flag", std::string(limit.flag)}};
  return MakeError(details, Concat("image is ", actual, " ", unit, "; the limit is ", limit.value,
                                   " (", limit.flag, "); ", advice));
}

absl::Status CheckSize(const ImageHeader& header, const ImageLimits& limits) {
  constexpr std::string_view kAdvice = "resize it before sending";
  if (header.width > limits.max_side) {
    return OverLimit(header.width, "pixels wide", limits.max_side, kAdvice);
  }
  if (header.height > limits.max_side) {
    return OverLimit(header.height, "pixels high", limits.max_side, kAdvice);
  }
  const int64_t pixels = int64_t{header.width} * header.height;
  if (pixels > limits.max_pixels) {
    return OverLimit(pixels, "pixels", limits.max_pixels, kAdvice);
  }
  return absl::OkStatus();
}

int OrientationOf(const ImageHeader& header, const DecodeOptions& options) {
  return options.apply_exif ? header.orientation : 1;
}

// The options with sizes and part along the axes of the stored picture.
DecodeOptions StoredOptions(const ImageHeader& header, const DecodeOptions& options) {
  const int orientation = OrientationOf(header, options);
  DecodeOptions stored = options;
  if (SwapsAxes(orientation)) std::swap(stored.min_width, stored.min_height);
  if (options.part) {
    stored.part =
        OrientRegion(*options.part, DecodedSize(header, options), InverseOrientation(orientation));
  }
  return stored;
}

absl::StatusOr<Image> DecodeUpright(std::string_view bytes, const ImageHeader& header,
                                    const DecodeOptions& options) {
  const Codec& codec = CodecOf(header.format);
  if (!codec.matches(bytes)) return Undecodable(header.format, "the bytes are of another format");
  PIXPOOL_ASSIGN_OR_RETURN(Image image,
                           codec.decode(bytes, header, StoredOptions(header, options)));
  DamageList damages = image.damages();
  const bool has_hidden_colors = image.has_hidden_colors();
  if (options.refuse_damaged && !damages.empty()) return RefuseDamaged(header.format, damages);
  Image upright = ApplyOrientation(std::move(image), OrientationOf(header, options));
  upright.set_damages(std::move(damages));
  upright.set_has_hidden_colors(has_hidden_colors);
  return upright;
}

}  // namespace

Size UprightSize(const ImageHeader& header, bool apply_exif) {
  return apply_exif && SwapsAxes(header.orientation) ? Size{header.height, header.width}
                                                     : Size{header.width, header.height};
}

absl::StatusOr<ImageHeader> ReadImageHeader(std::string_view bytes, const ImageLimits& limits) {
  const auto size = static_cast<int64_t>(bytes.size());
  if (size > limits.max_bytes) {
    return OverLimit(size, "bytes", limits.max_bytes, "resize or recompress it before sending");
  }
  const Codec* codec = FindCodec(bytes);
  if (codec == nullptr) return NotSupported(bytes);
  PIXPOOL_ASSIGN_OR_RETURN(const ImageHeader header, codec->read_header(bytes));
  PIXPOOL_RETURN_IF_ERROR(CheckSize(header, limits));
  return header;
}

Size DecodedSize(const ImageHeader& header, const DecodeOptions& options) {
  DecodeOptions stored = options;
  const bool swaps = SwapsAxes(OrientationOf(header, options));
  if (swaps) std::swap(stored.min_width, stored.min_height);
  const Codec& codec = CodecOf(header.format);
  const Size size = codec.decoded_size == nullptr ? Size{header.width, header.height}
                                                  : codec.decoded_size(header, stored);
  return swaps ? Size{size.height, size.width} : size;
}

absl::StatusOr<Image> DecodeImage(std::string_view bytes, const ImageHeader& header,
                                  const DecodeOptions& options) {
  try {
    return DecodeUpright(bytes, header, options);
  } catch (const std::exception&) {  // bad_alloc, or cv::Exception for the same cause
    ErrorDetails details;
    details.reason = ErrorReason::kOverloaded;
    details.metadata = {{"width", Concat(header.width)}, {"height", Concat(header.height)}};
    return MakeError(details, Concat("no memory to decode an image of ", header.width, " x ",
                                     header.height, " pixels; try again later or resize it"));
  }
}

}  // namespace pixpool
