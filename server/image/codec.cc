#include "server/image/codec.h"

#include <algorithm>
#include <string>
#include <vector>

#include "server/base/error.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

// "a, b or c", of the formats of this build that are taken.
std::string AnyOf(std::string_view Codec::*text, const ImageLimits& limits) {
  std::vector<std::string_view> texts;
  for (const Codec* codec : kCodecs) {
    if (codec->is_built() && limits.Takes(codec->name)) texts.push_back(codec->*text);
  }
  std::string list;
  for (size_t i = 0; i < texts.size(); ++i) {
    const bool last = i + 1 == texts.size();
    list += Concat(i == 0 ? "" : last ? " or " : ", ", texts[i]);
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

bool ImageLimits::Lists(std::string_view word) const {
  std::string_view rest = formats.value();
  while (!rest.empty()) {
    const std::string_view listed = rest.substr(0, rest.find(','));
    if (listed == word) return true;
    rest.remove_prefix(std::min(rest.size(), listed.size() + 1));
  }
  return false;
}

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
  for (const Codec* codec : kCodecs) {
    if (codec->is_built()) names.push_back(codec->name);
  }
  return names;
}

std::string FormatTitles(const ImageLimits& limits) { return AnyOf(&Codec::title, limits); }

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
  return MakeError(details, Concat(variant, " is not supported; send ",
                                   AnyOf(&Codec::wanted, ImageLimits()), " image"));
}

}  // namespace pixpool
