#include "server/metrics/serving_metrics.h"

#include "server/metrics/buckets.h"

namespace pixpool {

using prometheus::Labels;

ServingMetrics::ServingMetrics(prometheus::Registry* registry) {
  const auto gauges = [registry](const char* name, const char* help) {
    return &prometheus::BuildGauge().Name(name).Help(help).Register(*registry);
  };
  const auto counters = [registry](const char* name, const char* help) {
    return &prometheus::BuildCounter().Name(name).Help(help).Register(*registry);
  };
  ready_ = gauges("pixpool_model_ready", "Whether a model serves.");
  info_ = gauges("pixpool_model_info", "What a model runs on, always 1.");
  load_seconds_ = gauges("pixpool_model_load_duration_seconds", "Time that loading a model took.");
  idle_ = gauges("pixpool_model_idle",
                 "Whether a model that serves was freed until a call needs it: the option "
                 "model-idle-s.");
  idle_unloads_ = counters("pixpool_model_idle_unloads_total",
                           "How often a model was freed since no call had used it for a while.");
  call_loads_ = counters("pixpool_model_call_loads_total",
                         "How often a model that was idle was loaded for a call, or could not be.");
  cold_seconds_ = &prometheus::BuildHistogram()
                       .Name("pixpool_model_cold_start_duration_seconds")
                       .Help("What the first call for a model that was idle waited for it.")
                       .Register(*registry);
  auto* const loads = counters("pixpool_model_loads_total",
                               "Versions of models that were loaded, or could not be.");
  loaded_ = &loads->Add({{"outcome", "ready"}});
  refused_ = &loads->Add({{"outcome", "failed"}});
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
  Row& row = rows_[{std::string(name), std::string(version)}];
  if (row.cold_seconds == nullptr) {
    const auto loads = [&](const char* outcome) {
      Labels labels = model;
      labels["outcome"] = outcome;
      return &call_loads_->Add(labels);
    };
    row.idle = &idle_->Add(model);
    row.unloads = &idle_unloads_->Add(model);
    row.loaded = loads("ready");
    row.refused = loads("failed");
    row.cold_seconds = &cold_seconds_->Add(model, LoadSecondsBuckets());
  }
  row.idle->Set(0);
  if (row.info != nullptr) info_->Remove(row.info);
  row.info = nullptr;
  if (!ready) return;
  Labels labels = model;
  labels["engine"] = std::string(engine);
  labels["device"] = std::string(device);
  labels["precision"] = std::string(precision);
  row.info = &info_->Add(labels);
  row.info->Set(1);
  load_seconds_->Add(model).Set(load_seconds);
}

void ServingMetrics::DropModel(std::string_view name, std::string_view version) {
  const Labels model = {{"model", std::string(name)}, {"version", std::string(version)}};
  absl::MutexLock lock(&mu_);
  for (auto* family : {ready_, load_seconds_}) {
    if (family->Has(model)) family->Remove(&family->Add(model));
  }
  const Row* const row = Find(name, version);
  if (row == nullptr) return;
  if (row->info != nullptr) info_->Remove(row->info);
  idle_->Remove(row->idle);
  idle_unloads_->Remove(row->unloads);
  call_loads_->Remove(row->loaded);
  call_loads_->Remove(row->refused);
  cold_seconds_->Remove(row->cold_seconds);
  rows_.erase({std::string(name), std::string(version)});
}

void ServingMetrics::ModelIdle(std::string_view name, std::string_view version) {
  absl::MutexLock lock(&mu_);
  const Row* const row = Find(name, version);
  if (row == nullptr) return;
  row->idle->Set(1);
  row->unloads->Increment();
}

void ServingMetrics::ModelLoadedForCall(std::string_view name, std::string_view version, bool ready,
                                        double seconds) {
  absl::MutexLock lock(&mu_);
  const Row* const row = Find(name, version);
  if (row == nullptr) return;
  (ready ? row->loaded : row->refused)->Increment();
  if (ready) row->cold_seconds->Observe(seconds);
}

ServingMetrics::Row* ServingMetrics::Find(std::string_view name, std::string_view version) {
  const auto found = rows_.find({std::string(name), std::string(version)});
  const bool whole = found != rows_.end() && found->second.cold_seconds != nullptr;
  return whole ? &found->second : nullptr;
}

}  // namespace pixpool
