// Runs one load and counts what comes of it.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "client/bench/metrics.h"
#include "client/bench/result.h"
#include "client/bench/transport.h"
#include "client/bench/workload.h"

namespace pixpool::bench {

// What is going on, for a progress line.
struct Status {
  double elapsed_s;
  double total_s;  // 0: not known
  uint64_t answered;
  uint64_t failed;
};

struct RunOptions {
  TransportOptions transport;
  Load load;
  // Where the server's Prometheus metrics are; empty: not asked for.
  HttpUrl metrics;
  // Called about five times a second on a thread of the run; may be empty.
  std::function<void(const Status&)> progress;
};

// Sends one request and waits for its answer: whether the server is there and takes such requests.
// Pictures that failed are the run's to count. Adds what was sent to `totals`.
absl::Status Probe(const TransportOptions& run, const Workload& workload, Totals& totals);

// Blocks until the load has been sent and answered. Failures of requests are part of the result.
Result RunLoad(const RunOptions& options, const Workload& workload);

}  // namespace pixpool::bench
