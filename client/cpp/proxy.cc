#include "client/cpp/proxy.h"

#include <cstdlib>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "client/cpp/error.h"

namespace pixpool::client::internal {
namespace {

bool IsUnixSocket(absl::string_view target) {
  return absl::StartsWith(target, "unix:") || absl::StartsWith(target, "unix-abstract:");
}

// The target without the scheme of a name or an address.
absl::string_view WithoutScheme(absl::string_view target) {
  if (const size_t authority = target.find("://"); authority != absl::string_view::npos) {
    const size_t path = target.find('/', authority + 3);
    return path == absl::string_view::npos ? absl::string_view() : target.substr(path + 1);
  }
  for (const absl::string_view scheme : {"dns:", "ipv4:", "ipv6:"}) {
    if (absl::ConsumePrefix(&target, scheme)) break;
  }
  return target;
}

// The host of "host:port", "dns://authority/host:port" or "ipv6:[host]:port", without brackets.
absl::string_view HostOf(absl::string_view target) {
  target = WithoutScheme(target);
  if (absl::ConsumePrefix(&target, "[")) return target.substr(0, target.find(']'));
  // An IPv6 address without a port may stand without brackets.
  const size_t colon = target.find(':');
  return target.find(':', colon + 1) == absl::string_view::npos ? target.substr(0, colon) : target;
}

// 127.0.0.0/8.
bool IsLoopbackIpv4(absl::string_view host) {
  const std::vector<absl::string_view> parts = absl::StrSplit(host, '.');
  if (parts.size() != 4 || parts[0] != "127") return false;
  for (const absl::string_view part : parts) {
    int number = 0;
    if (!absl::SimpleAtoi(part, &number) || number < 0 || number > 255) return false;
  }
  return true;
}

absl::string_view Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? absl::string_view() : value;
}

// Whether the environment excepts a host, as gRPC reads it: by the end of its name.
bool IsExcepted(absl::string_view host) {
  absl::string_view exceptions = Variable("no_grpc_proxy");
  if (exceptions.empty()) exceptions = Variable("no_proxy");
  for (absl::string_view end : absl::StrSplit(exceptions, ',', absl::SkipWhitespace())) {
    end = absl::StripAsciiWhitespace(end);
    if (absl::EndsWithIgnoreCase(host, end)) return true;
  }
  return false;
}

}  // namespace

bool IsOnThisMachine(absl::string_view target) {
  if (IsUnixSocket(target)) return true;
  const absl::string_view host = HostOf(target);
  if (host == "0.0.0.0" || host == "::") return true;
  return host == "::1" || absl::EqualsIgnoreCase(host, "localhost") ||
         absl::EndsWithIgnoreCase(host, ".localhost") || IsLoopbackIpv4(host);
}

absl::string_view ProxyVariable(absl::string_view target) {
  if (IsOnThisMachine(target) || IsExcepted(HostOf(target))) return {};
  for (const char* const name : {"grpc_proxy", "https_proxy", "http_proxy"}) {
    if (!Variable(name).empty()) return name;
  }
  return {};
}

absl::Status ExplainUnreached(const absl::Status& error, absl::string_view target) {
  constexpr absl::string_view kWhat = "no server answers at ";
  if (!absl::IsUnavailable(error) || !GetErrorDetails(error).reason.empty() ||
      absl::StrContains(error.message(), kWhat)) {
    return error;
  }
  std::string text = absl::StrCat(error.message(), "; ", kWhat, target);
  if (const absl::string_view proxy = ProxyVariable(target); !proxy.empty()) {
    absl::StrAppend(&text, ", asked through the proxy that the environment's ", proxy,
                    " names; no_proxy with the server's name goes straight there");
  } else {
    absl::StrAppend(&text, "; is it running, and in TLS where the client is?");
    if (IsOnThisMachine(target)) {
      const absl::string_view address = IsUnixSocket(target) ? target : WithoutScheme(target);
      absl::StrAppend(&text, " \"pixpool-server --listen ", address, "\" starts one");
    }
  }
  absl::Status told(error.code(), text);
  error.ForEachPayload(
      [&told](absl::string_view url, const absl::Cord& payload) { told.SetPayload(url, payload); });
  return told;
}

}  // namespace pixpool::client::internal
