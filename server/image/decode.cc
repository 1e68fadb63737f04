#include "server/image/decode.h"

#include <algorithm>
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

std::string Advice(const ImageLimits& limits) {
  return Concat("; send a ", FormatTitles(limits), " image");
}

absl::Status NotSupported(std::string_view bytes, const ImageLimits& limits) {
  const std::string advice = Advice(limits);
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

// A format that the server knows, and that its build or its operator leaves out.
absl::Status NotTaken(const Codec& codec, const ImageLimits& limits) {
  ErrorDetails details;
  details.reason = ErrorReason::kImageUnsupportedFormat;
  details.metadata = {{"format", std::string(codec.name)}};
  if (codec.is_built()) details.metadata.emplace_back("flag", limits.formats.flag());
  return MakeError(details, Concat(codec.title,
                                   codec.is_built() ? " is not taken by this server ("
                                                    : " is not supported by this server's build (",
                                   codec.is_built() ? limits.formats.flag() : codec.build_option,
                                   ")", Advice(limits)));
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
  const int width = std::max(header.width, header.decoded.width);
  const int height = std::max(header.height, header.decoded.height);
  if (width > limits.max_side) {
    return OverLimit(width, "pixels wide", limits.max_side, kAdvice);
  }
  if (height > limits.max_side) {
    return OverLimit(height, "pixels high", limits.max_side, kAdvice);
  }
  const int64_t pixels = int64_t{width} * height;
  if (pixels > limits.max_pixels) {
    return OverLimit(pixels, "pixels", limits.max_pixels, kAdvice);
  }
  if (header.decode_bytes > limits.max_memory) {
    return OverLimit(header.decode_bytes, "bytes while it is decoded", limits.max_memory,
                     "resize it before sending, or save it as a JPEG that is not progressive or a "
                     "PNG that is not interlaced, which are decoded row by row");
  }
  return absl::OkStatus();
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

absl::StatusOr<DecodeNotes> DecodeStored(std::string_view bytes, const ImageHeader& header,
                                         const DecodeOptions& options, RowSink* sink) {
  const Codec& codec = CodecOf(header.format);
  if (!codec.matches(bytes)) return Undecodable(header.format, "the bytes are of another format");
  PIXPOOL_ASSIGN_OR_RETURN(DecodeNotes notes,
                           codec.decode(bytes, header, StoredOptions(header, options), sink));
  if (options.refuse_damaged && !notes.damages.empty()) {
    return RefuseDamaged(header.format, notes.damages);
  }
  return notes;
}

absl::Status NoMemory(const ImageHeader& header) {
  ErrorDetails details;
  details.reason = ErrorReason::kOverloaded;
  details.metadata = {{"width", Concat(header.width)}, {"height", Concat(header.height)}};
  return MakeError(details, Concat("no memory to decode an image of ", header.width, " x ",
                                   header.height, " pixels; try again later or resize it"));
}

}  // namespace

Size UprightSize(const ImageHeader& header, bool apply_exif) {
  const DecodeOptions options = {.apply_exif = apply_exif};
  return UprightSize(Size{header.width, header.height}, OrientationOf(header, options));
}

absl::StatusOr<ImageHeader> ReadImageHeader(std::string_view bytes, const ImageLimits& limits) {
  const auto size = static_cast<int64_t>(bytes.size());
  if (size > limits.max_bytes) {
    return OverLimit(size, "bytes", limits.max_bytes, "resize or recompress it before sending");
  }
  const Codec* codec = FindCodec(bytes);
  if (codec == nullptr) return NotSupported(bytes, limits);
  if (!codec->is_built() || !limits.Takes(codec->name)) return NotTaken(*codec, limits);
  PIXPOOL_ASSIGN_OR_RETURN(const ImageHeader header, codec->read_header(bytes));
  PIXPOOL_RETURN_IF_ERROR(CheckSize(header, limits));
  return header;
}

int OrientationOf(const ImageHeader& header, const DecodeOptions& options) {
  return options.apply_exif || header.is_always_turned ? header.orientation : 1;
}

Size StoredSize(const ImageHeader& header, const DecodeOptions& options) {
  DecodeOptions stored = options;
  if (SwapsAxes(OrientationOf(header, options))) std::swap(stored.min_width, stored.min_height);
  const Codec& codec = CodecOf(header.format);
  return codec.decoded_size == nullptr ? Size{header.width, header.height}
                                       : codec.decoded_size(header, stored);
}

Size DecodedSize(const ImageHeader& header, const DecodeOptions& options) {
  return UprightSize(StoredSize(header, options), OrientationOf(header, options));
}

absl::StatusOr<DecodeNotes> DecodeRows(std::string_view bytes, const ImageHeader& header,
                                       const DecodeOptions& options, RowSink* sink) {
  try {
    return DecodeStored(bytes, header, options, sink);
  } catch (const std::exception&) {  // bad_alloc, or cv::Exception for the same cause
    return NoMemory(header);
  }
}

absl::StatusOr<Image> DecodeImage(std::string_view bytes, const ImageHeader& header,
                                  const DecodeOptions& options) {
  try {
    WholePicture picture;
    PIXPOOL_ASSIGN_OR_RETURN(DecodeNotes notes, DecodeStored(bytes, header, options, &picture));
    Image upright = ApplyOrientation(picture.Finish(), OrientationOf(header, options));
    upright.set_damages(std::move(notes.damages));
    upright.set_has_hidden_colors(notes.has_hidden_colors);
    return upright;
  } catch (const std::exception&) {
    return NoMemory(header);
  }
}

}  // namespace pixpool
