// Headers of calls (gRPC metadata).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace pixpool::client {

// Names and values, in order. Names are lower case: letters, digits, "-", "_" and ".".
using Headers = std::vector<std::pair<std::string, std::string>>;

// INVALID_ARGUMENT naming the first header that gRPC cannot send.
absl::Status CheckHeaders(const Headers& headers);

// The trace that this process belongs to, as OpenTelemetry's tools hand it down in the environment:
// TRACEPARENT and TRACESTATE, where set, as the W3C headers `traceparent` and `tracestate`.
Headers TraceHeadersFromEnvironment();

}  // namespace pixpool::client
