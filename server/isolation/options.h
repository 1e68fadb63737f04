#pragma once

#include <string>
#include <string_view>

#include "server/base/option.h"

namespace pixpool {

struct IsolationOptions {
  static constexpr std::string_view kChoices[] = {"auto", "on", "off"};
  static constexpr OptionSpec kDecodeIsolation = {
      .group = kModelsGroup,
      .place = 32,
      .flag = "--decode-isolation",
      .value_name = "MODE",
      .help =
          "Decode in processes of their own, which may do nothing else; auto: as far as the system "
          "allows it, on: or do not start.",
      .kind = OptionKind::kChoice,
      .initial = "auto",
      .choices = kChoices,
  };
  Option<std::string, kDecodeIsolation> decode_isolation;
};

}  // namespace pixpool
