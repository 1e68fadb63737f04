#include "server/metrics/serving_metrics.h"

namespace pixpool {

using prometheus::Gauge;
using prometheus::Labels;

ServingMetrics::ServingMetrics(prometheus::Registry* registry) {
  const auto gauges = [registry](const char* name, const char* help) {
    return &prometheus::BuildGauge().Name(name).Help(help).Register(*registry);
  };
  ready_ = gauges("pixpool_model_ready", "Whether a model serves.");
  info_ = gauges("pixpool_model_info", "What a model runs on, always 1.");
  load_seconds_ = gauges("pixpool_model_load_duration_seconds", "Time that loading a model took.");
  auto& loads = prometheus::BuildCounter()
                    .Name("pixpool_model_loads_total")
                    .Help("Versions of models that were loaded, or could not be.")
                    .Register(*registry);
  loaded_ = &loads.Add({{"outcome", "ready"}});
  refused_ = &loads.Add({{"outcome", "failed"}});
  leaving_ = &gauges("pixpool_models_leaving",
                     "Versions of models that take no new calls and are not freed yet.")
                  ->Add({});
}

void ServingMetrics::SetModel(std::string_view name, std::string_view version,
                              std::string_view engine, std::string_view device,
                              std::string_view precision, bool ready, double load_seconds) {
  const Labels model = {{"model", std::string(name)}, {"version", std::string(version)}};
  ready_->Add(model).Set(ready ? 1 : 0);
  absl::MutexLock lock(&mu_);
  Gauge*& info = infos_[{std::string(name), std::string(version)}];
  if (info != nullptr) info_->Remove(info);
  info = nullptr;
  if (!ready) return;
  Labels labels = model;
  labels["engine"] = std::string(engine);
  labels["device"] = std::string(device);
  labels["precision"] = std::string(precision);
  info = &info_->Add(labels);
  info->Set(1);
  load_seconds_->Add(model).Set(load_seconds);
}

void ServingMetrics::DropModel(std::string_view name, std::string_view version) {
  const Labels model = {{"model", std::string(name)}, {"version", std::string(version)}};
  absl::MutexLock lock(&mu_);
  for (auto* family : {ready_, load_seconds_}) {
    if (family->Has(model)) family->Remove(&family->Add(model));
  }
  const auto found = infos_.find({std::string(name), std::string(version)});
  if (found == infos_.end()) return;
  if (found->second != nullptr) info_->Remove(found->second);
  infos_.erase(found);
}

}  // namespace pixpool
