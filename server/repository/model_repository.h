// Which versions of the models on the disk serve, while that changes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/base/clock.h"
#include "server/bundle/manifest.h"
#include "server/bundle/version_settings.h"
#include "server/metrics/metrics.h"
#include "server/pipeline/model_registry.h"
#include "server/repository/complaints.h"
#include "server/repository/leaving_models.h"
#include "server/repository/model_folder.h"
#include "server/repository/options.h"
#include "server/repository/wanted_versions.h"

namespace pixpool {

// What models take of the memory.
struct MemoryNeed {
  int64_t bundle_bytes = 0;  // of their bundles on the disk
  int64_t pass_bytes = 0;    // Model::UsualBytes of those that the registry does not have
  bool loaded = false;       // whether all of them are loaded by now
};

// What the repository needs of the process.
struct RepositoryDeps {
  ModelRegistry* registry;
  Metrics* metrics;
  const Clock* clock;
  // Opens, checks and warms a bundle. `like` is a version of the same model that serves meanwhile;
  // null: none. Blocks for seconds.
  std::function<absl::StatusOr<std::unique_ptr<Model>>(const BundleLocation&, const Model* like)>
      load;
  // Shares out the memory beside models. Not OK, and without effect, where it is too little.
  std::function<absl::Status(const MemoryNeed&)> share_memory;
  // As Pipeline::Forget.
  std::function<bool(const Model&)> forget;
  // What serves has changed.
  std::function<void()> changed;
};

// Keeps the registry in step with the models folder: loads what is to serve beside what serves,
// switches, and frees what serves no more when its last call has ended.
//
// POLICY
//   Of a model's versions those serve that its versions.json says, else the options, and those that
//   are its default or have an alias. Where one of them cannot be loaded, those that served before
//   serve on, and default and aliases stay where they were; log, metrics and the registry's message
//   say why. A folder that cannot be read changes nothing, nor does one without any model.
//   A version is loaded anew where its manifest has changed. What could not be loaded is tried
//   again when its files have changed, or when somebody asks; and where what it lacked may pass, as
//   memory does, FreeWhatIsLeft says when.
//
// Start comes first, on any thread. LoadFirst and then the others are called by one thread, those
// that are said to be thread-safe by any. The process must have no calls in flight at destruction.
class ModelRepository {
 public:
  ModelRepository(const RepositoryOptions& options, RepositoryDeps deps);

  ModelRepository(const ModelRepository&) = delete;
  ModelRepository& operator=(const ModelRepository&) = delete;

  // Enters what is to serve as loading. NOT_FOUND, with what to do, where there is no model and
  // none can come by --model-control.
  absl::Status Start();

  // Loads it, one version after the other. Not OK where none can serve, or where the options are
  // strict and one cannot: then all that failed has been tried and logged, too.
  absl::Status LoadFirst();

  // Looks at the folder again. `again`: tries what could not be loaded, too. Blocks while models
  // load. Not OK where something could not be done; it has been logged, once.
  absl::Status Look(bool again);

  // Loads what is to serve of a model, `policy` in place of its versions.json, until the next such
  // order. Blocks likewise. MODEL_NOT_FOUND, MODEL_NOT_LOADED with the cause, DRAINING.
  absl::Status LoadModel(const std::string& name, const std::optional<VersionPolicy>& policy);
  // Takes a model out of service; no look loads it again, LoadModel does. MODEL_NOT_FOUND.
  absl::Status UnloadModel(const std::string& name);

  // One line of the log: how many serve and do not.
  void LogWhatServes() const;

  const ModelFolder& folder() const { return folder_; }

  // Frees versions that no call has any more. To be called every tenth of a second. Whether that
  // may have made room for a version that could not be loaded.
  bool FreeWhatIsLeft();

  // No load is begun from here on. Thread-safe, as all below.
  void Close() { closed_ = true; }

  // What is being loaded, such as "net 2"; empty: nothing.
  std::string loading() const;

  // What was taken out of service by UnloadModel.
  std::vector<BundleLocation> Unloaded() const;

 private:
  struct Version {
    BundleLocation at;
    std::string content;           // of what serves
    std::string refused;           // stamp of the files that could not be loaded; empty: none
    absl::Status failure;          // of those
    std::shared_ptr<Model> model;  // null: could not be loaded
    std::weak_ptr<const LoadedModel> use;
    int64_t bytes = 0;  // on the disk, of what serves
  };
  struct Named {
    VersionSettings settings;
    std::optional<VersionPolicy> ordered;  // in place of that of the settings
    ModelRoutes routes;
    std::string default_version;              // that is in force and was logged
    std::map<std::string, Version> versions;  // loaded, or refused
  };
  using Locations = ModelFolder::Locations;

  // Whether a server without a model may get one.
  bool MayWait() const { return options_.control.value() != kNoControl; }
  // Brings a model in step with what there is of it.
  absl::Status Apply(const std::string& name, const Locations& found, bool again);
  // Those of `found` that are to serve.
  WantedVersions WantedOf(const std::string& name, const Named& named,
                          const Locations& found) const;
  // Enters versions of which nothing is known yet as loading.
  void EnterNew(Named* named, const Locations& wanted);
  // Has the version serve as it is on the disk.
  absl::Status Load(Named* named, const BundleLocation& at, bool again);
  absl::Status Refuse(const Version& version, const absl::Status& why);
  absl::Status RefuseSettings(const std::string& name, Named* named, const Locations& found,
                              const absl::Status& why);
  void SetRoutes(const std::string& name, Named* named);
  // Logs the version of requests that name none, where it is another one.
  void TellDefault(const std::string& name, Named* named);

  // Takes a version out of service, and what it holds to where it waits for its last call.
  void Retire(Version* version);
  void Leave(Version* version);
  // All versions of it; it is forgotten.
  void RetireModel(const std::string& name);
  void EndMoves();
  // Shares out the memory beside all that is there, and says in the log where it is too little.
  void ShareMemory();
  // Room for a version whose bundle has so many bytes, beside all that is there. `passes`: what its
  // usual passes take, `loaded`: whether it is there, too.
  absl::Status MakeRoom(int64_t bytes, int64_t passes, bool loaded);
  int64_t LoadedBytes() const;
  const Model* AnotherOf(const Named& named) const;

  void SetLoading(std::string what) ABSL_LOCKS_EXCLUDED(mu_);
  // A problem as an error, and one line of the log until it is another one or somebody asks again.
  absl::Status Complain(std::string_view event, const std::string& key, const std::string& message);
  bool unloaded(const std::string& name) const;
  void ForgetUnloaded(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

  const RepositoryOptions options_;
  const RepositoryDeps deps_;
  const ModelFolder folder_;
  VersionPolicy policy_;  // of the options
  std::atomic<bool> closed_ = false;

  // Of the thread that calls Work.
  std::map<std::string, Named> models_;
  LeavingModels leaving_;
  Complaints complaints_;
  bool serving_ = false;  // whether the first load is over
  bool moved_ = false;    // whether a look changes anything
  bool lacked_ = false;   // whether a version could not be loaded for what may pass

  mutable absl::Mutex mu_;
  std::vector<BundleLocation> unloaded_ ABSL_GUARDED_BY(mu_);
  std::string loading_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
