#include "server/metrics/gpu_metrics.h"

#include <utility>

namespace pixpool {
namespace {

// A gauge of each GPU that tells this.
struct GpuRow {
  std::optional<double> GpuReadings::*value;
  const char* name;
  const char* help;
};
constexpr GpuRow kRows[] = {
    {&GpuReadings::memory_used, "pixpool_gpu_memory_used_bytes",
     "Memory of the GPU that is taken, by the server, the driver and whoever else uses it."},
    {&GpuReadings::memory_total, "pixpool_gpu_memory_total_bytes", "Memory of the GPU."},
    {&GpuReadings::utilization, "pixpool_gpu_utilization_ratio",
     "Share of the last moments in which the GPU computed anything, for whomever."},
    {&GpuReadings::celsius, "pixpool_gpu_temperature_celsius", "Temperature of the GPU."},
    {&GpuReadings::watts, "pixpool_gpu_power_watts", "Power that the GPU draws."},
};

}  // namespace

std::vector<prometheus::MetricFamily> CollectGpuMetrics(const std::vector<GpuReadings>& gpus) {
  std::vector<prometheus::MetricFamily> families;
  for (const GpuRow& row : kRows) {
    prometheus::MetricFamily family;
    family.name = row.name;
    family.help = row.help;
    family.type = prometheus::MetricType::Gauge;
    for (const GpuReadings& gpu : gpus) {
      if (!(gpu.*row.value)) continue;
      prometheus::ClientMetric metric;
      metric.label = {{"device", gpu.device}, {"uuid", gpu.uuid}};
      metric.gauge.value = *(gpu.*row.value);
      family.metric.push_back(std::move(metric));
    }
    if (!family.metric.empty()) families.push_back(std::move(family));
  }
  return families;
}

}  // namespace pixpool
