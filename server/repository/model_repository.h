// Which versions of the models on the disk serve, while that changes.
#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/bundle/manifest.h"
#include "server/bundle/version_settings.h"
#include "server/pipeline/model_registry.h"
#include "server/repository/complaints.h"
#include "server/repository/model_folder.h"
#include "server/repository/model_versions.h"
#include "server/repository/options.h"
#include "server/repository/wanted_versions.h"

namespace pixpool {

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
//   A version that no call has used for as long as the options say is freed, but takes calls on:
//   the next one is to have it loaded by LoadIdle. Where that fails it serves no more, and is tried
//   again every few minutes.
//
// Start comes first, on any thread. LoadFirst and then the others are called by one thread, those
// that are said to be thread-safe by any. The process must have no calls in flight at destruction.
class ModelRepository {
 public:
  ModelRepository(const RepositoryOptions& options, RepositoryDeps deps);

  ModelRepository(const ModelRepository&) = delete;
  ModelRepository& operator=(const ModelRepository&) = delete;

  // Enters what is to serve as loading. NOT_FOUND, with what to do, where there is no folder, where
  // there is no model and none can come by --model-control, and, where the options are strict,
  // where there is none of the name of the default.
  absl::Status Start();

  // Loads it, one version after the other. Not OK where none can serve, or where the options are
  // strict and one cannot: then all that failed has been tried and logged, too.
  absl::Status LoadFirst();

  // Looks at the folder again. `again`: tries what could not be loaded, too. `only`: looks at these
  // models; null: at all. Blocks while models load. Not OK where something could not be done; it
  // has been logged, once.
  absl::Status Look(bool again, const std::set<std::string>* only = nullptr);

  // Loads what is to serve of a model, `policy` in place of its versions.json, until the next such
  // order. Blocks likewise. MODEL_NOT_FOUND, MODEL_NOT_LOADED with the cause, DRAINING.
  absl::Status LoadModel(const std::string& name, const std::optional<VersionPolicy>& policy);
  // Takes a model out of service; no look loads it again, LoadModel does. MODEL_NOT_FOUND.
  absl::Status UnloadModel(const std::string& name);

  // Loads a version that is idle, for a call. Nothing happens where it is not. Blocks likewise.
  void LoadIdle(const ModelKey& key);
  // Frees what has become idle, and tries again what was. To be called every tenth of a second.
  void TendIdle();

  // One line of the log: how many serve and do not.
  void LogWhatServes() const;

  const ModelFolder& folder() const { return folder_; }

  // Frees versions that no call has any more. To be called every tenth of a second. Whether that
  // may have made room for a version that could not be loaded.
  bool FreeWhatIsLeft() { return loader_.FreeWhatIsLeft(); }

  // No load is begun from here on. Thread-safe, as all below.
  void Close() { closed_ = true; }

  // What is being loaded, such as "net 2"; empty: nothing.
  std::string loading() const { return loader_.loading(); }

  // What was taken out of service by UnloadModel.
  std::vector<BundleLocation> Unloaded() const;

 private:
  struct Named {
    VersionSettings settings;
    std::optional<VersionPolicy> ordered;  // in place of that of the settings
    ModelRoutes routes;
    std::string default_version;  // that is in force and was logged
    ModelVersions versions;
  };
  using Locations = ModelFolder::Locations;

  // Whether a server without a model may get one.
  bool MayWait() const { return options_.control.value() != kNoControl; }
  // Whether the folder has the model of calls that name none; it is in the log where that is no
  // error.
  absl::Status CheckDefault(const ModelFolder::Found& found) const;
  // Brings a model in step with what there is of it.
  absl::Status Apply(const std::string& name, const Locations& found, LoadReach reach);
  // Those of `found` that are to serve.
  WantedVersions WantedOf(const std::string& name, const Named& named,
                          const Locations& found) const;
  absl::Status RefuseSettings(const std::string& name, Named* named, const Locations& found,
                              const absl::Status& why);
  void SetRoutes(const std::string& name, Named* named);
  // Logs the version of requests that name none, where it is another one.
  void TellDefault(const std::string& name, Named* named);

  // Takes all versions of a model out of service; it is forgotten.
  void RetireModel(const std::string& name);
  // A problem as an error, and one line of the log until it is another one or somebody asks again.
  absl::Status Complain(const std::string& event, const std::string& model,
                        const std::string& message);
  bool unloaded(const std::string& name) const;
  void ForgetUnloaded(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

  const RepositoryOptions options_;
  const RepositoryDeps deps_;
  const ModelFolder folder_;
  VersionPolicy policy_;  // of the options
  std::atomic<bool> closed_ = false;

  VersionLoader loader_;

  // Of the thread that calls Work.
  std::map<std::string, Named> models_;
  Complaints complaints_;

  mutable absl::Mutex mu_;
  std::vector<BundleLocation> unloaded_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
