// A span of a trace, as OpenTelemetry has it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace pixpool {

using TraceId = std::array<uint8_t, 16>;
using SpanId = std::array<uint8_t, 8>;  // zeros: none

using AttributeValue = std::variant<std::string, int64_t>;
using Attributes = std::vector<std::pair<std::string, AttributeValue>>;

struct Span {
  TraceId trace{};
  SpanId id{};
  SpanId parent{};
  std::string state;  // what the trace's participants tell each other (W3C's tracestate)
  std::string name;
  bool of_server = false;  // answers a call; else a part of the work
  int64_t begin = 0;       // nanoseconds of the wall clock since 1970
  int64_t end = 0;
  Attributes attributes;
  bool failed = false;
  std::string message;  // why it failed
};

}  // namespace pixpool
