#pragma once

#include "server/base/option.h"

namespace pixpool {

// How many connections the gRPC port keeps, and how fast new ones may come.
struct ConnectionOptions {
  static constexpr OptionSpec kMax = {
      .group = kConnectionsGroup,
      .place = 1,
      .flag = "--max-connections",
      .value_name = "COUNT",
      .help = "Connections at a time; fewer where the process may not have so many descriptors.",
      .kind = OptionKind::kNumber,
      .initial = 10'000,
      .min = 1,
      .max = 1'000'000,
  };
  Option<int, kMax> max;

  static constexpr OptionSpec kMaxPerAddress = {
      .group = kConnectionsGroup,
      .place = 2,
      .flag = "--max-connections-per-address",
      .value_name = "COUNT",
      .help = "Connections of one address (of IPv6, of one /64); 0 leaves an eighth to the others.",
      .kind = OptionKind::kNumber,
      .initial = 0,
      .min = 0,
      .max = 1'000'000,
  };
  Option<int, kMaxPerAddress> max_per_address;

  static constexpr OptionSpec kRate = {
      .group = kConnectionsGroup,
      .place = 3,
      .flag = "--connection-rate",
      .value_name = "COUNT",
      .help = "New connections of one address a second, after ten times as many at once.",
      .kind = OptionKind::kNumber,
      .initial = 500,
      .min = 1,
      .max = 1'000'000,
  };
  Option<int, kRate> rate;
};

}  // namespace pixpool
