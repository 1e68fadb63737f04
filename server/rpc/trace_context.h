// Where a call belongs in a distributed trace (W3C Trace Context).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pixpool {

// What the caller's `traceparent` header says.
struct TraceContext {
  std::string trace_id;  // 32 lower-case hexadecimal digits: one for all calls of a trace
  std::string span_id;   // 16 of them: the caller's span
  std::string flags;     // 2 of them; bit 0: the caller samples this trace
  std::string state;     // what `tracestate` says
};

// Reads `traceparent` as https://www.w3.org/TR/trace-context-1/ says: nothing where it is not
// valid, which is no error of the call; of a later version what version 00 knows of it.
std::optional<TraceContext> ParseTraceParent(std::string_view header);

// The list of a call's `tracestate` headers, as it goes on with a span: empty where it is longer
// than the 512 characters that all must take, or not of printable ASCII.
std::string JoinTraceState(const std::vector<std::string_view>& headers);

}  // namespace pixpool
