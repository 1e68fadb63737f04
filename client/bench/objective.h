// What latency is asked for: "p99=100ms".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/bench/result.h"

namespace pixpool::bench {

// At most `limit_ns` at `quantile`; 1 is the slowest request.
struct Objective {
  std::string text;  // as given
  double quantile;
  int64_t limit_ns;
};

// "p50=20ms", "p99.9=1.5s", "max=800us", "mean" is none. INVALID_ARGUMENT for other text.
absl::StatusOr<Objective> ParseObjective(std::string_view text);

// The latency at a quantile of all requests, where one that failed took forever: shedding load does
// not meet an objective. Infinite where a failed one is at this rank; NaN where there was none.
double LatencyMs(const Result& result, double quantile);

// Whether all are met by requests of which there was at least one.
bool Meets(const Result& result, const std::vector<Objective>& objectives);

}  // namespace pixpool::bench
