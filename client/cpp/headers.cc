#include "client/cpp/headers.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace pixpool::client {
namespace {

bool IsNameChar(unsigned char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' || c == '_' || c == '.';
}

}  // namespace

absl::Status CheckHeaders(const Headers& headers) {
  for (const auto& [name, value] : headers) {
    if (name.empty() || !std::all_of(name.begin(), name.end(), IsNameChar)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "header name '", name, "' must be lower-case letters, digits, '-', '_' and '.'"));
    }
    if (absl::StartsWith(name, "grpc-")) {
      return absl::InvalidArgumentError(
          absl::StrCat("header '", name, "': names with 'grpc-' in front are gRPC's own"));
    }
    // Binary headers take any bytes.
    const bool printable = std::all_of(value.begin(), value.end(), absl::ascii_isprint);
    if (!printable && !absl::EndsWith(name, "-bin")) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the value of header '", name,
          "' must be printable ASCII; binary values go under names that end in '-bin'"));
    }
  }
  return absl::OkStatus();
}

Headers TraceHeadersFromEnvironment() {
  Headers headers;
  for (const auto& [variable, name] :
       {std::pair("TRACEPARENT", "traceparent"), std::pair("TRACESTATE", "tracestate")}) {
    const char* const value = std::getenv(variable);
    if (value != nullptr && *value != '\0') headers.emplace_back(name, value);
  }
  return headers;
}

}  // namespace pixpool::client
