#pragma once

#include <string>

#include "server/base/option.h"

namespace pixpool {

struct RestOptions {
  static constexpr OptionSpec kListen = {
      .group = kAddressesGroup,
      .place = 6,
      .flag = "--rest-listen",
      .value_name = "ADDRESS",
      .help =
          "Address of the HTTP and JSON API, such as 127.0.0.1:8000; \"\" turns it off. TLS, "
          "tokens and limits are those of the gRPC port.",
      .kind = OptionKind::kAddress,
      .initial = "",
      .may_be_empty = true,
  };
  Option<std::string, kListen> listen;
};

}  // namespace pixpool
