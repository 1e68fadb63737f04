#include "server/base/listen_address.h"

namespace pixpool {

std::optional<ListenAddress> ParseListenAddress(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  ListenAddress address{.text = std::string(text)};
  if (!text.starts_with(kUnix)) {
    const std::optional<HostPort> tcp = ParseHostPort(text);
    if (!tcp) return std::nullopt;
    address.tcp = *tcp;
    return address;
  }
  text.remove_prefix(kUnix.size());
  if (text.starts_with("///")) text.remove_prefix(2);
  // Absolute: "unix:50051" may be meant for a host of that name.
  const bool absolute = text.starts_with('/') && !text.starts_with("//");
  if (!absolute || text.size() > kMostPathBytes) return std::nullopt;
  address.path = std::string(text);
  return address;
}

std::vector<std::string_view> SplitAddresses(std::string_view list) {
  std::vector<std::string_view> pieces;
  for (size_t comma; (comma = list.find(',')) != list.npos; list.remove_prefix(comma + 1)) {
    pieces.push_back(list.substr(0, comma));
  }
  pieces.push_back(list);
  return pieces;
}

std::vector<ListenAddress> ListenAddresses(std::string_view list) {
  std::vector<ListenAddress> addresses;
  for (const std::string_view piece : SplitAddresses(list)) {
    addresses.push_back(*ParseListenAddress(piece));
  }
  return addresses;
}

}  // namespace pixpool
