// The models of the process: loading, ready, failed.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/metrics/metrics.h"
#include "server/model/model.h"

namespace pixpool {

enum class ModelState { kLoading, kReady, kFailed };

// A model that serves. Shared, so that a request keeps its model to its end.
struct LoadedModel {
  std::unique_ptr<Model> model;
  std::shared_ptr<ModelMetrics> metrics;  // what its work counts in; gone with the last holder
  const ModelInfo& info() const { return model->info(); }
};

// A row of the registry as ListModels shows it.
struct ModelEntry {
  std::string name;
  std::string version;
  ModelState state = ModelState::kLoading;
  std::string message;                        // why it failed
  std::shared_ptr<const LoadedModel> loaded;  // set when ready
};

// Thread-safe.
class ModelRegistry {
 public:
  // `default_model`: name that an empty name stands for; empty: the first by name. `metrics`: where
  // models that are ready have their series; null, in tests: they cannot serve.
  explicit ModelRegistry(std::string default_model, Metrics* metrics = nullptr)
      : default_model_(std::move(default_model)), metrics_(metrics) {}

  void AddLoading(const std::string& name, const std::string& version);
  void SetReady(const std::string& name, const std::string& version, std::unique_ptr<Model> model);
  void SetFailed(const std::string& name, const std::string& version, const std::string& message);

  // The entry of a name and version; empty ones stand for the defaults (the highest version).
  // MODEL_NOT_FOUND.
  absl::StatusOr<ModelEntry> Find(std::string_view name, std::string_view version) const;

  // The same for a request: MODEL_LOADING while it loads, MODEL_LOADING with the cause if it
  // failed.
  absl::StatusOr<std::shared_ptr<const LoadedModel>> Get(std::string_view name,
                                                         std::string_view version) const;

  std::vector<ModelEntry> List() const;

  // Whether there is a model and all of them are ready.
  bool AllReady() const;

 private:
  const std::string default_model_;
  Metrics* const metrics_;
  mutable absl::Mutex mu_;
  // By name, then by version in loading order (lowest first).
  std::map<std::string, std::vector<ModelEntry>, std::less<>> models_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
