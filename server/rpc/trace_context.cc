#include "server/rpc/trace_context.h"

#include <algorithm>
#include <cstddef>

namespace pixpool {
namespace {

// version "-" trace-id "-" parent-id "-" trace-flags
constexpr size_t kVersion = 2, kTraceId = 32, kSpanId = 16, kFlags = 2;
constexpr size_t kMostState = 512;
constexpr size_t kLength = kVersion + 1 + kTraceId + 1 + kSpanId + 1 + kFlags;

bool IsLowerHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsZero(std::string_view text) { return text.find_first_not_of('0') == text.npos; }

// Cuts `length` hexadecimal digits off the front; empty where they are not there.
std::string_view TakeHex(size_t length, std::string_view* rest) {
  const std::string_view field = rest->substr(0, length);
  if (field.size() < length || !IsLowerHex(field)) return {};
  rest->remove_prefix(length);
  return field;
}

bool TakeDash(std::string_view* rest) {
  if (rest->empty() || rest->front() != '-') return false;
  rest->remove_prefix(1);
  return true;
}

}  // namespace

std::optional<TraceContext> ParseTraceParent(std::string_view header) {
  std::string_view rest = header;
  const std::string_view version = TakeHex(kVersion, &rest);
  if (version.empty() || version == "ff" || !TakeDash(&rest)) return std::nullopt;
  const std::string_view trace_id = TakeHex(kTraceId, &rest);
  if (trace_id.empty() || IsZero(trace_id) || !TakeDash(&rest)) return std::nullopt;
  const std::string_view span_id = TakeHex(kSpanId, &rest);
  if (span_id.empty() || IsZero(span_id) || !TakeDash(&rest)) return std::nullopt;
  const std::string_view flags = TakeHex(kFlags, &rest);
  if (flags.empty()) return std::nullopt;
  // Later versions may add fields after another dash.
  const bool ends = version == "00" ? header.size() == kLength : rest.empty() || rest[0] == '-';
  if (!ends) return std::nullopt;
  return TraceContext{std::string(trace_id), std::string(span_id), std::string(flags), {}};
}

std::string JoinTraceState(const std::vector<std::string_view>& headers) {
  std::string state;
  for (const std::string_view header : headers) {
    if (header.empty()) continue;
    if (!state.empty()) state += ',';
    state += header;
  }
  const bool plain = std::all_of(state.begin(), state.end(),
                                 [](char c) { return (c >= ' ' && c <= '~') || c == '\t'; });
  return plain && state.size() <= kMostState ? state : "";
}

}  // namespace pixpool
