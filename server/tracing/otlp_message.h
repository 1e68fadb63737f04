// Spans as OTLP sends them. Internal to server/tracing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/tracing/span.h"

namespace pixpool {

// opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest, in protobuf's encoding.
// `resource`: attributes of the process. `version`: of the server.
std::string OtlpMessage(const Attributes& resource, std::string_view version,
                        const std::vector<Span>& spans);

}  // namespace pixpool
