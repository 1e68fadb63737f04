// The metrics of which models serve. Internal to server/metrics.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace pixpool {

// Thread-safe.
class ServingMetrics {
 public:
  explicit ServingMetrics(prometheus::Registry* registry);

  // Those of Metrics.
  void SetModel(std::string_view name, std::string_view version, std::string_view engine,
                std::string_view device, std::string_view precision, bool ready,
                double load_seconds);
  void DropModel(std::string_view name, std::string_view version);
  void ModelIdle(std::string_view name, std::string_view version);
  void ModelLoadedForCall(std::string_view name, std::string_view version, bool ready,
                          double seconds);
  void ModelLoaded(bool ready) { (ready ? loaded_ : refused_)->Increment(); }
  void SetModelsLeaving(size_t count) { leaving_->Set(static_cast<double>(count)); }

 private:
  // The series of a version that come and go with it.
  struct Row {
    prometheus::Gauge* info = nullptr;  // null: it does not serve
    prometheus::Gauge* idle = nullptr;
    prometheus::Counter* unloads = nullptr;
    prometheus::Counter* loaded = nullptr;
    prometheus::Counter* refused = nullptr;
    prometheus::Histogram* cold_seconds = nullptr;
  };
  // Null: SetModel did not tell of it.
  Row* Find(std::string_view name, std::string_view version) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  prometheus::Family<prometheus::Gauge>* ready_;
  prometheus::Family<prometheus::Gauge>* info_;
  prometheus::Family<prometheus::Gauge>* load_seconds_;
  prometheus::Family<prometheus::Gauge>* idle_;
  prometheus::Family<prometheus::Counter>* idle_unloads_;
  prometheus::Family<prometheus::Counter>* call_loads_;
  prometheus::Family<prometheus::Histogram>* cold_seconds_;
  prometheus::Counter* loaded_;
  prometheus::Counter* refused_;
  prometheus::Gauge* leaving_;
  absl::Mutex mu_;
  // By name and version.
  std::map<std::pair<std::string, std::string>, Row> rows_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
