#include "server/base/host_port.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "server/base/text.h"

namespace pixpool {

std::optional<HostPort> ParseHostPort(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == address.npos || colon == 0) return std::nullopt;
  std::string_view host = address.substr(0, colon);
  const std::string_view port = address.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.find_first_of("[] \t\n/") != host.npos) return std::nullopt;
  if (!bracketed && host.find(':') != host.npos) return std::nullopt;
  HostPort result{std::string(host), 0};
  // SimpleAtoi takes signs and spaces too.
  if (!std::all_of(port.begin(), port.end(), absl::ascii_isdigit) || port.size() > 5 ||
      !absl::SimpleAtoi(ToAbsl(port), &result.port) || result.port > 65'535) {
    return std::nullopt;
  }
  return result;
}

std::string WithPort(std::string_view address, int port) {
  return Concat(address.substr(0, address.rfind(':') + 1), port);
}

}  // namespace pixpool
