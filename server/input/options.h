#pragma once

#include "server/base/option.h"

namespace pixpool {

struct InputLimits {
  static constexpr OptionSpec kMaxSide = {
      .group = kLimitsGroup,
      .place = 7,
      .flag = "--max-input-side",
      .value_name = "PIXELS",
      .help = "Longest side of a network input.",
      .kind = OptionKind::kNumber,
      .initial = 2'048,
      .min = 16,
      .max = 16'384,
  };
  Option<int, kMaxSide> max_side;
};

}  // namespace pixpool
