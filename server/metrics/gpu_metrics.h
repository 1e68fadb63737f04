#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "server/metrics/metrics.h"

namespace pixpool {

// The gauges of GPUs; none where there is no GPU. Used by Metrics::Scrape only.
std::vector<prometheus::MetricFamily> CollectGpuMetrics(const std::vector<GpuReadings>& gpus);

}  // namespace pixpool
