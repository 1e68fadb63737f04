#pragma once

#include <prometheus/metric_family.h>

#include <vector>

namespace pixpool {

// The process's own figures under the names that Prometheus clients agree on
// (process_cpu_seconds_total and so on) and the log's drop counter, read now. What /proc does not
// tell is left out. Used by Metrics::Scrape only.
std::vector<prometheus::MetricFamily> CollectProcessMetrics();

}  // namespace pixpool
