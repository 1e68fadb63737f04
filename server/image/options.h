#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "server/base/option.h"
#include "server/image/formats.h"

namespace pixpool {

// Bounds on what is decoded.
struct ImageLimits {
  static constexpr OptionSpec kMaxBytes = {
      .group = kLimitsGroup,
      .place = 4,
      .flag = "--max-image-bytes",
      .value_name = "BYTES",
      .help = "Largest image file.",
      .kind = OptionKind::kBytes,
      .initial = 60 << 20,
      .min = 1,
      .max = kMostMessageBytes,
  };
  Option<int64_t, kMaxBytes> max_bytes;

  static constexpr OptionSpec kMaxPixels = {
      .group = kLimitsGroup,
      .place = 5,
      .flag = "--max-image-pixels",
      .value_name = "PIXELS",
      .help = "Most pixels of an image.",
      .kind = OptionKind::kNumber,
      .initial = 250'000'000,
      .min = 1,
      .max = 1'000'000'000,
  };
  Option<int64_t, kMaxPixels> max_pixels;

  static constexpr OptionSpec kMaxSide = {
      .group = kLimitsGroup,
      .place = 6,
      .flag = "--max-image-side",
      .value_name = "PIXELS",
      .help = "Longest side of an image.",
      .kind = OptionKind::kNumber,
      .initial = 16'384,
      .min = 1,
      .max = 65'535,
  };
  Option<int, kMaxSide> max_side;

  static constexpr OptionSpec kMaxMemory = {
      .group = kLimitsGroup,
      .place = 12,
      .flag = "--max-image-memory",
      .value_name = "BYTES",
      .help =
          "Most memory that decoding an image may take. What comes by rows takes little: JPEGs "
          "that are not progressive, PNGs that are not interlaced.",
      .kind = OptionKind::kBytes,
      .initial = 512 << 20,
      .min = 1 << 20,
      .max = int64_t{1} << 40,
  };
  Option<int64_t, kMaxMemory> max_memory;

  static constexpr std::string_view kAllFormats = "all";
#define PIXPOOL_CHOICE(Name) , k##Name##Name.view()
  static constexpr std::string_view kFormatChoices[] = {
      kAllFormats PIXPOOL_IMAGE_FORMATS(PIXPOOL_CHOICE)};
#undef PIXPOOL_CHOICE
  static constexpr OptionSpec kFormats = {
      .group = kModelsGroup,
      .place = 31,
      .flag = "--formats",
      .value_name = "LIST",
      .help =
          "Formats of image files that are taken, with commas between them; all stands for those "
          "that the server is built with. Others are refused by name.",
      .kind = OptionKind::kChoices,
      .initial = "all",
      .choices = kFormatChoices,
  };
  Option<std::string, kFormats> formats;

  // Whether files of the format of this name are taken, if the server is built with it.
  bool Takes(std::string_view format) const { return Lists(kAllFormats) || Lists(format); }
  // Whether the option has this word.
  bool Lists(std::string_view word) const;
};

// What becomes of damaged files, where a request does not say.
struct DamageOptions {
  static constexpr std::string_view kChoices[] = {"accept", "refuse"};
  static constexpr OptionSpec kDamaged = {
      .group = kModelsGroup,
      .place = 30,
      .flag = "--damaged",
      .value_name = "MODE",
      .help =
          "Image files that are damaged and can be read: features with a warning, or an error; for "
          "requests that do not say.",
      .kind = OptionKind::kChoice,
      .initial = "accept",
      .choices = kChoices,
  };
  Option<std::string, kDamaged> damaged;
  bool refuse() const { return damaged.value() == "refuse"; }
};

}  // namespace pixpool
