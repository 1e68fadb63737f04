// The server's own counters, read from its Prometheus endpoint.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/bench/http_get.h"
#include "client/bench/result.h"

namespace pixpool::bench {

// "http://HOST[:PORT][/PATH]", "HOST:PORT"; the path is /metrics unless given. INVALID_ARGUMENT.
absl::StatusOr<HttpUrl> ParseMetricsUrl(std::string_view text);

// A sample's name with its labels, as exposed, and its value.
using Samples = std::map<std::string, double>;

// Reads Prometheus' text format; lines that are none are left out.
Samples ParseSamples(std::string_view text);

// Fetches the samples, up to 16 MiB of text, within `timeout` (see HttpGet). UNAVAILABLE.
absl::StatusOr<Samples> FetchSamples(const HttpUrl& url, absl::Duration timeout);

// What happened between two looks at the same server.
ServerSide Difference(const Samples& before, const Samples& after);

}  // namespace pixpool::bench
