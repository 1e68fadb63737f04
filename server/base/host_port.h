// Addresses as options state them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pixpool {

struct HostPort {
  std::string host;  // IPv6 without its brackets
  int port = 0;
};

// Takes "host:port" apart, where IPv6 stands in brackets. Names are not looked up.
std::optional<HostPort> ParseHostPort(std::string_view address);

// A "host:port" that was bound, with the port that it got where 0 was asked for.
std::string WithPort(std::string_view address, int port);

}  // namespace pixpool
