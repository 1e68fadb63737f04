// The families whose series belong to models. Internal to server/metrics.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "server/metrics/metrics.h"

namespace pixpool {

struct ModelFamilies {
  explicit ModelFamilies(prometheus::Registry* registry);

  prometheus::Family<prometheus::Counter>& requests;
  prometheus::Family<prometheus::Histogram>& request_seconds;
  prometheus::Family<prometheus::Counter>& images;
  prometheus::Family<prometheus::Counter>& cancellations;
  prometheus::Family<prometheus::Counter>& cache_uses;
  prometheus::Family<prometheus::Histogram>& stage_seconds;
  prometheus::Family<prometheus::Histogram>& batch_size;
  prometheus::Family<prometheus::Gauge>& queue_depth;
  prometheus::Family<prometheus::Gauge>& oldest_pass_seconds;
  prometheus::Family<prometheus::Gauge>& oldest_wait_seconds;
};

// gRPC's codes are 0 (OK) to 16 (UNAUTHENTICATED).
inline constexpr int kCodeCount = 17;

// All series of a model, made at once and removed at the end. What a model cannot have is null.
struct ModelMetrics::Series {
  // `none`: the series of calls without a model; null: these are they.
  Series(ModelFamilies* families, std::string_view name, std::string_view version,
         ModelMetrics* none);
  ~Series();

  void Set(const ModelReadings& readings);

  std::array<std::array<prometheus::Counter*, kCodeCount>, kRpcMethodCount> requests{};
  std::array<prometheus::Histogram*, kRpcMethodCount> request_seconds{};
  prometheus::Counter* images_ok = nullptr;
  std::array<prometheus::Counter*, kErrorReasonCount> images_failed{};
  prometheus::Counter* images_failed_other = nullptr;
  std::array<std::array<prometheus::Counter*, kErrorReasonCount>, kStageCount> cancellations{};
  std::array<prometheus::Counter*, kCacheUseCount> cache_uses{};
  std::array<prometheus::Histogram*, kStageCount> stage_seconds{};
  prometheus::Histogram* batch_size = nullptr;
  prometheus::Gauge* queue_depth = nullptr;
  prometheus::Gauge* oldest_pass_seconds = nullptr;
  std::array<prometheus::Gauge*, kPriorityCount> oldest_wait_seconds{};
  ModelMetrics* const without_model;

 private:
  template <typename T, typename... Buckets>
  T* Add(prometheus::Family<T>& family, prometheus::Labels labels, const Buckets&... buckets);

  const prometheus::Labels model_;
  std::vector<std::function<void()>> removals_;
};

}  // namespace pixpool
