#pragma once

#include <string>

#include "server/base/option.h"

namespace pixpool {

struct HttpOptions {
  static constexpr OptionSpec kListen = {
      .group = kAddressesGroup,
      .place = 2,
      .flag = "--http-listen",
      .value_name = "ADDRESS",
      .help = "Address of /metrics, /livez and /readyz; \"\" turns them off.",
      .kind = OptionKind::kAddress,
      .initial = "127.0.0.1:8080",
      .may_be_empty = true,
  };
  Option<std::string, kListen> listen;
};

}  // namespace pixpool
