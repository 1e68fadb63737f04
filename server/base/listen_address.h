// Places to listen at, as options state them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/base/host_port.h"

namespace pixpool {

// The longest path of a socket that the kernel takes.
inline constexpr size_t kMostPathBytes = 107;

// One place: "host:port", or "unix:/path" of a socket of this machine.
struct ListenAddress {
  std::string text;  // as it was given
  std::string path;  // of a Unix socket; empty: it is `tcp`
  HostPort tcp;

  bool is_unix() const { return !path.empty(); }
};

// nullopt where it is none, or its path too long. "unix:///path" is taken too.
std::optional<ListenAddress> ParseListenAddress(std::string_view text);

// What stands between the commas of a list.
std::vector<std::string_view> SplitAddresses(std::string_view list);

// The places of a list, each of which must be one.
std::vector<ListenAddress> ListenAddresses(std::string_view list);

}  // namespace pixpool
