#include "server/rpc/caller.h"

#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "server/base/error.h"
#include "server/base/text.h"
#include "server/rpc/token_store.h"

namespace pixpool {
namespace {

constexpr char kTokenMetadata[] = "authorization";

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

// The value of an entry that the call has exactly once. Two would be two callers, and neither can
// be trusted to be the right one.
std::optional<std::string_view> OnlyValue(const grpc::ServerContextBase& context,
                                          const std::string& name) {
  if (name.empty()) return std::nullopt;
  const auto [begin, end] = context.client_metadata().equal_range(name);
  if (begin == end || std::next(begin) != end || begin->second.empty()) return std::nullopt;
  return std::string_view(begin->second.data(), begin->second.size());
}

// What the call's token allows; null where calls need none, or it has none that is known.
std::shared_ptr<const CallerTerms> TermsOf(const grpc::ServerContextBase& context,
                                           const CallDeps& deps) {
  if (deps.tokens == nullptr) return nullptr;
  const auto value = OnlyValue(context, kTokenMetadata);
  const auto token = value ? BearerToken(*value) : std::nullopt;
  return token ? deps.tokens->tokens()->Find(*token) : nullptr;
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

absl::Status CheckToken(const grpc::ServerContextBase& context, const CallDeps& deps) {
  if (deps.tokens == nullptr) return absl::OkStatus();
  if (const auto terms = TermsOf(context, deps)) {
    deps.metrics->TokenCall(terms->token);
    return absl::OkStatus();
  }
  return MakeError(ErrorReason::kTokenInvalid,
                   context.client_metadata().count(kTokenMetadata) == 0
                       ? "this server wants a token: send it as \"authorization: Bearer TOKEN\""
                       : "the server does not know the token of the header \"authorization\", "
                         "which must be one \"Bearer TOKEN\"");
}

Caller CallerOf(const grpc::ServerContextBase& context, const CallDeps& deps) {
  if (auto terms = TermsOf(context, deps)) return {Concat("@", terms->token), std::move(terms)};
  if (const auto value = OnlyValue(context, *deps.caller_header)) {
    return {Concat("@", value->substr(0, kMaxCallerBytes)), nullptr};
  }
  return {CallerFromPeer(context.peer()), nullptr};
}

}  // namespace pixpool
