// The metrics of which models serve. Internal to server/metrics.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
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
  void ModelLoaded(bool ready) { (ready ? loaded_ : refused_)->Increment(); }
  void SetModelsLeaving(size_t count) { leaving_->Set(static_cast<double>(count)); }

 private:
  prometheus::Family<prometheus::Gauge>* ready_;
  prometheus::Family<prometheus::Gauge>* info_;
  prometheus::Family<prometheus::Gauge>* load_seconds_;
  prometheus::Counter* loaded_;
  prometheus::Counter* refused_;
  prometheus::Gauge* leaving_;
  absl::Mutex mu_;
  // By name and version; null: it does not serve.
  std::map<std::pair<std::string, std::string>, prometheus::Gauge*> infos_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
