#include "server/rpc/caller.h"

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

std::vector<std::string_view> ValuesOf(const grpc::ServerContextBase& context,
                                       const std::string& name) {
  std::vector<std::string_view> values;
  const auto [begin, end] = context.client_metadata().equal_range(name);
  for (auto entry = begin; entry != end; ++entry) {
    values.emplace_back(entry->second.data(), entry->second.size());
  }
  return values;
}

// The value of an entry that the call has exactly once. Two would be two callers, and neither can
// be trusted to be the right one.
std::optional<std::string_view> OnlyValue(const std::vector<std::string_view>& values) {
  if (values.size() != 1 || values[0].empty()) return std::nullopt;
  return values[0];
}

// What the call's token allows; null where calls need none, or it has none that is known.
std::shared_ptr<const CallerTerms> TermsOf(const Introduction& call, const CallDeps& deps) {
  if (deps.tokens == nullptr) return nullptr;
  const auto value = OnlyValue(call.authorization);
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

Introduction IntroductionOf(const grpc::ServerContextBase& context, const CallDeps& deps) {
  Introduction call{.peer = context.peer(), .authorization = {}, .named = {}};
  if (deps.tokens != nullptr) call.authorization = ValuesOf(context, kTokenMetadata);
  if (!deps.caller_header->empty()) call.named = ValuesOf(context, *deps.caller_header);
  return call;
}

absl::Status CheckToken(const Introduction& call, const CallDeps& deps) {
  if (deps.tokens == nullptr) return absl::OkStatus();
  if (const auto terms = TermsOf(call, deps)) {
    deps.metrics->TokenCall(terms->token);
    return absl::OkStatus();
  }
  return MakeError(ErrorReason::kTokenInvalid,
                   call.authorization.empty()
                       ? "this server wants a token: send it as \"authorization: Bearer TOKEN\""
                       : "the server does not know the token of the header \"authorization\", "
                         "which must be one \"Bearer TOKEN\"");
}

Caller CallerOf(const Introduction& call, const CallDeps& deps) {
  if (auto terms = TermsOf(call, deps)) return {Concat("@", terms->token), std::move(terms)};
  if (const auto value = OnlyValue(call.named)) {
    return {Concat("@", value->substr(0, kMaxCallerBytes)), nullptr};
  }
  return {CallerFromPeer(call.peer), nullptr};
}

}  // namespace pixpool
