// The models of the process: loading, ready, idle, failed.
#pragma once

#include <atomic>
#include <compare>
#include <cstdint>
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

// One that is idle was freed, and is loaded for the next call.
enum class ModelState { kLoading, kReady, kIdle, kFailed };

inline bool TakesCalls(ModelState state) {
  return state == ModelState::kReady || state == ModelState::kIdle;
}

struct ModelKey {
  auto operator<=>(const ModelKey&) const = default;

  std::string name;
  std::string version;
};

// A version of a model that serves. Shared, so that a call keeps the version that it began with;
// gone when the registry has it no more and its last call has ended.
struct LoadedModel {
  std::shared_ptr<Model> model;
  std::shared_ptr<ModelMetrics> metrics;  // what its work counts in; gone with the last holder
  std::shared_ptr<std::atomic<int64_t>> calls;  // that have got it so far; null: nobody counts
  uint64_t number = 0;                          // of this load; no other of the process has it
  const ModelInfo& info() const { return model->info(); }
};

// What stays of a version that was freed until a call needs it again.
struct IdleModel {
  ModelInfo info;                         // without the numbers of projections
  std::shared_ptr<ModelMetrics> metrics;  // so that its counters go on
};

// A row of the registry as ListModels shows it.
struct ModelEntry {
  std::string name;
  std::string version;
  ModelState state = ModelState::kLoading;
  // Why it failed; where it is ready, why what took its place on the disk does not serve.
  std::string message;
  std::shared_ptr<const LoadedModel> loaded;  // set when ready
  std::shared_ptr<const IdleModel> idle;      // set when idle
  // Null unless it takes calls.
  const ModelInfo* info() const {
    if (loaded != nullptr) return &loaded->info();
    return idle != nullptr ? &idle->info : nullptr;
  }
};

// Which of a model's versions requests mean.
struct ModelRoutes {
  std::string default_version;  // of requests without one; empty: the highest that is ready
  std::map<std::string, std::string, std::less<>> aliases;  // to versions
  bool operator==(const ModelRoutes&) const = default;
};

// What there is to look up, while it changes. Thread-safe; a lookup copies one pointer under a lock
// and reads what never changes again, so that it waits for no change of the registry.
class ModelRegistry {
 public:
  // `default_model`: name that an empty name stands for; empty: the only one there is. `metrics`:
  // where models that are ready have their series; null, in tests: they cannot serve.
  explicit ModelRegistry(std::string default_model, Metrics* metrics = nullptr);

  const std::string& default_model() const { return default_model_; }

  // A version is being loaded, serves from here on, or could not be loaded. One that is ready or
  // idle takes calls on while the same version is loaded anew, and where that fails. SetReady gives
  // a handle that expires when the version is replaced, idle or removed and its last call has
  // ended.
  void AddLoading(const std::string& name, const std::string& version);
  std::weak_ptr<const LoadedModel> SetReady(const std::string& name, const std::string& version,
                                            std::shared_ptr<Model> model);
  void SetFailed(const std::string& name, const std::string& version, const std::string& message);

  // One that is ready is idle from here on; one that is idle counts as loading.
  void SetIdle(const std::string& name, const std::string& version);
  void EndIdle(const std::string& name, const std::string& version);

  void Remove(const std::string& name, const std::string& version);
  void SetRoutes(const std::string& name, const ModelRoutes& routes);

  // The entry of a name and version or alias; empty ones stand for the defaults. MODEL_NOT_FOUND.
  absl::StatusOr<ModelEntry> Find(std::string_view name, std::string_view version) const;

  // The same of one that takes calls: MODEL_LOADING while it loads, MODEL_LOADING with the cause if
  // it failed.
  absl::StatusOr<ModelEntry> FindServing(std::string_view name, std::string_view version) const;

  // The same for a request that needs it. MODEL_LOADING where it is idle, too; it is then told in
  // `idle`, which may be null.
  absl::StatusOr<std::shared_ptr<const LoadedModel>> Get(std::string_view name,
                                                         std::string_view version,
                                                         ModelKey* idle = nullptr) const;

  std::vector<ModelEntry> List() const;

  // Whether a model takes calls.
  bool AnyReady() const;

 private:
  struct Named {
    std::vector<ModelEntry> versions;  // the lowest first
    ModelRoutes routes;
  };
  using Models = std::map<std::string, Named, std::less<>>;

  std::shared_ptr<const Models> models() const ABSL_LOCKS_EXCLUDED(mu_);
  // Has `change` done to a copy of what there is, which then takes its place.
  template <typename Change>
  void Update(const Change& change) ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<const ModelEntry*> Lookup(const Models& models, std::string_view name,
                                           std::string_view version) const;

  const std::string default_model_;
  Metrics* const metrics_;
  mutable absl::Mutex mu_;
  std::shared_ptr<const Models> models_ ABSL_GUARDED_BY(mu_);  // never null
};

}  // namespace pixpool
