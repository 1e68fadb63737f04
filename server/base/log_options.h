#pragma once

#include <string>
#include <string_view>

#include "server/base/option.h"

namespace pixpool {

// In the order of LogLevel.
inline constexpr std::string_view kLogLevelNames[] = {"debug", "info", "warning", "error", "off"};

struct LogOptions {
  static constexpr OptionSpec kLevel = {
      .group = kLifeGroup,
      .place = 3,
      .flag = "--log-level",
      .value_name = "LEVEL",
      .help = "Least important lines that are logged.",
      .kind = OptionKind::kChoice,
      .initial = "info",
      .choices = kLogLevelNames,
  };
  Option<std::string, kLevel> level;

  static constexpr OptionSpec kRequests = {
      .group = kLifeGroup,
      .place = 4,
      .flag = "--log-requests",
      .value_name = "WHICH",
      .help =
          "Calls that have a line in the log. Those that failed have one, also those of which an "
          "image did, up to ten alike in a second; 1/N is each Nth of the others.",
      .kind = OptionKind::kSample,
      .initial = "all",
  };
  Option<std::string, kRequests> requests;
};

}  // namespace pixpool
