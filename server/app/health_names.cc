#include "server/app/health_names.h"

namespace pixpool {
namespace {

constexpr const char* kServiceNames[] = {"pixpool.v1.FeatureService",
                                         "inference.GRPCInferenceService"};

}  // namespace

void HealthNames::TellAll(bool well) {
  absl::MutexLock lock(&mu_);
  if (closed_) return;
  Tell("", well);
  for (const char* name : kServiceNames) Tell(name, well);
  Models(well);
}

void HealthNames::TellModels(const std::function<bool()>& well) {
  absl::MutexLock lock(&mu_);
  if (!closed_) Models(well());
}

void HealthNames::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
}

void HealthNames::Models(bool well) {
  for (auto& [name, serving] : models_) serving = false;
  for (const ModelEntry& entry : registry_->List()) {
    models_[entry.name] |= well && TakesCalls(entry.state) && registry_->Find(entry.name, "").ok();
  }
  for (const auto& [name, serving] : models_) Tell(name, serving);
}

void HealthNames::Tell(const std::string& name, bool serving) {
  const auto [entry, first] = told_.try_emplace(name, serving);
  if (!first && entry->second == serving) return;
  entry->second = serving;
  set_(name, serving);
}

}  // namespace pixpool
