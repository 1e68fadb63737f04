// The options that no layer but the process itself reads. They stand here and not in server/app,
// which includes this folder.
#pragma once

#include <chrono>
#include <cstdint>

#include "server/base/option.h"

namespace pixpool {

inline constexpr int64_t kHourMs = 60 * 60 * 1000;

struct ProcessOptions {
  static constexpr OptionSpec kDrainDelay = {
      .group = kLifeGroup,
      .place = 1,
      .flag = "--drain-delay-ms",
      .value_name = "MS",
      .help = "After SIGTERM: how long the server says that it is not ready but still accepts.",
      .kind = OptionKind::kNumber,
      .initial = 0,
      .min = 0,
      .max = kHourMs,
  };
  Option<std::chrono::milliseconds, kDrainDelay> drain_delay;

  // Then calls in flight are cancelled.
  static constexpr OptionSpec kDrainTimeout = {
      .group = kLifeGroup,
      .place = 2,
      .flag = "--drain-timeout-ms",
      .value_name = "MS",
      .help = "Then: how long calls in flight may take to finish.",
      .kind = OptionKind::kNumber,
      .initial = 30'000,
      .min = 0,
      .max = kHourMs,
  };
  Option<std::chrono::milliseconds, kDrainTimeout> drain_timeout;
};

}  // namespace pixpool
