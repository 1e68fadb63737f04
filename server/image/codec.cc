#include "server/image/codec.h"

#include <iterator>
#include <string>

#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

// "a, b or c".
std::string AnyOf(std::string_view Codec::*text) {
  std::string list;
  for (size_t i = 0; i < std::size(kCodecs); ++i) {
    const bool last = i + 1 == std::size(kCodecs);
    list += Concat(i == 0 ? "" : last ? " or " : ", ", kCodecs[i]->*text);
  }
  return list;
}

absl::Status CannotDecode(ImageFormat format, std::string_view detail, std::string_view advice) {
  ErrorDetails details;
  details.reason = ErrorReason::kImageUndecodable;
  details.metadata = {{"format", std::string(FormatName(format))}, {"detail", std::string(detail)}};
  return MakeError(details,
                   Concat(FormatName(format), " image cannot be decoded: ", detail, "; ", advice));
}

}  // namespace

const Codec* FindCodec(std::string_view bytes) {
  for (const Codec* codec : kCodecs) {
    if (codec->matches(bytes)) return codec;
  }
  return nullptr;
}

const Codec& CodecOf(ImageFormat format) { return *kCodecs[static_cast<int>(format)]; }

std::string_view FormatName(ImageFormat format) { return CodecOf(format).name; }

std::vector<std::string_view> FormatNames() {
  std::vector<std::string_view> names;
  for (const Codec* codec : kCodecs) names.push_back(codec->name);
  return names;
}

std::string FormatTitles() { return AnyOf(&Codec::title); }

absl::Status Undecodable(ImageFormat format, std::string_view detail) {
  return CannotDecode(format, detail, "send another copy, or save the picture anew");
}

absl::Status Truncated(ImageFormat format, std::string_view detail) {
  return CannotDecode(format, detail, "check that the file is complete");
}

absl::Status UnsupportedVariant(ImageFormat format, std::string_view variant) {
  ErrorDetails details;
  details.reason = ErrorReason::kImageUnsupportedFormat;
  details.metadata = {{"format", std::string(FormatName(format))},
                      {"variant", std::string(variant)}};
  return MakeError(details,
                   Concat(variant, " is not supported; send ", AnyOf(&Codec::wanted), " image"));
}

}  // namespace pixpool
