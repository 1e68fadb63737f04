#include "server/rpc/caller.h"

#include <iterator>

#include "server/base/text.h"

namespace pixpool {
namespace {

bool TakePrefix(std::string_view prefix, std::string_view* text) {
  if (!text->starts_with(prefix)) return false;
  text->remove_prefix(prefix.size());
  return true;
}

// Without the brackets, which gRPC writes as they are or percent-encoded.
std::string_view WithoutBrackets(std::string_view host) {
  if (!TakePrefix("[", &host)) TakePrefix("%5B", &host);
  for (const std::string_view end : {"]", "%5D"}) {
    if (host.ends_with(end)) host.remove_suffix(end.size());
  }
  return host;
}

}  // namespace

std::string CallerFromPeer(std::string_view peer) {
  if (peer.starts_with("unix")) return "unix";
  const bool v6 = TakePrefix("ipv6:", &peer);
  if (!v6 && !TakePrefix("ipv4:", &peer)) return std::string(peer.substr(0, kMaxCallerBytes));
  std::string_view host = peer.substr(0, peer.rfind(':'));
  if (v6) {
    host = WithoutBrackets(host);
    // An IPv4 caller of a socket that takes both kinds.
    TakePrefix("::ffff:", &host);
  }
  return std::string(host);
}

std::string CallerOf(const grpc::ServerContextBase& context, const std::string& header) {
  if (!header.empty()) {
    const auto [begin, end] = context.client_metadata().equal_range(header);
    // Two would be two callers; neither can be trusted to be the right one.
    if (begin != end && std::next(begin) == end && !begin->second.empty()) {
      const std::string_view value(begin->second.data(), begin->second.size());
      return Concat("@", value.substr(0, kMaxCallerBytes));
    }
  }
  return CallerFromPeer(context.peer());
}

}  // namespace pixpool
