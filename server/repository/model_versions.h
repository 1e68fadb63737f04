// Versions of models as they are in memory. Internal to server/repository.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/base/clock.h"
#include "server/bundle/manifest.h"
#include "server/metrics/metrics.h"
#include "server/pipeline/model_registry.h"
#include "server/repository/leaving_models.h"
#include "server/repository/model_folder.h"
#include "server/repository/options.h"

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

// A version that serves, is idle, or could not be loaded.
struct ModelVersion {
  BundleLocation at;
  std::string content;           // of what serves
  std::string refused;           // stamp of the files that could not be loaded; empty: none
  absl::Status failure;          // of those
  std::shared_ptr<Model> model;  // null: could not be loaded, or is idle
  std::weak_ptr<const LoadedModel> use;
  int64_t bytes = 0;      // on the disk, of what is loaded
  int64_t calls = 0;      // that it had when it was last looked at
  TimePoint last_used{};  // as far as looks tell
  bool idle = false;
  int64_t idle_bytes = 0;  // what `bytes` and Model::UsualBytes will be when it is loaded again
  int64_t idle_passes = 0;
  bool lost = false;  // was idle and could not be loaded; it is tried again by itself
  TimePoint try_again{};
  TimeDuration pause{};  // before the try after that

  bool serves() const { return model != nullptr || idle; }
};

// Of one model.
using ModelVersions = std::map<std::string, ModelVersion>;

// What of a version is loaded that is not: what was not there before; what was refused, too; what
// is idle, too.
enum class LoadReach { kNew, kRefused, kIdle };

// Loads versions, has them serve, and frees them when their last call has ended. By one thread at a
// time but for what is said to be thread-safe.
class VersionLoader {
 public:
  VersionLoader(const RepositoryOptions& options, const RepositoryDeps& deps,
                const ModelFolder* folder)
      : deps_(deps), folder_(folder), idle_after_(options.idle_seconds.value()) {}

  // Enters versions of which nothing is known yet as loading.
  void EnterNew(ModelVersions* versions, const ModelFolder::Locations& wanted);
  // Has a version serve as it is on the disk. The error names it.
  absl::Status Load(ModelVersions* versions, const BundleLocation& at, LoadReach reach);

  // Takes a version out of service, and what it holds to where it waits for its last call.
  void Retire(ModelVersion* version);

  // Frees a version that no call has used for as long as the options say, until one does.
  void UnloadIfIdle(ModelVersion* version);
  // Whether a version that was idle and could not be loaded is to be tried again.
  bool IsDue(const ModelVersion& version) const;

  // Frees versions that no call has any more. Whether that may have made room for a version that
  // could not be loaded.
  bool FreeWhatIsLeft();

  // A look or an order is done: tells of what it changed, if anything.
  void EndMoves();

  // From here on models serve, so memory is reckoned and not measured. The status is of the room
  // that they leave.
  absl::Status BeginServing();

  size_t leaving() const { return leaving_.count(); }
  // What is being loaded, such as "net 2"; empty: nothing. Thread-safe.
  std::string loading() const;

 private:
  // Loads a bundle whose files, of which `files` and `content` tell, are the same when it is done;
  // where they are not, once more.
  absl::StatusOr<std::unique_ptr<Model>> LoadWhole(const BundleLocation& at, const Model* like,
                                                   BundleFiles* files, std::string* content);
  absl::Status Refuse(ModelVersion* version, const absl::Status& why);
  void Leave(ModelVersion* version);
  // Whether it can be loaded again as it is.
  bool CanComeBack(const ModelVersion& version) const;
  // Shares out the memory beside all that is there, and says in the log where it is too little.
  void ShareMemory();
  // Room for a version whose bundle has so many bytes, beside all that is there. `passes`: what its
  // usual passes take, `loaded`: whether it is there, too.
  absl::Status MakeRoom(int64_t bytes, int64_t passes, bool loaded);
  void SetLoading(std::string what) ABSL_LOCKS_EXCLUDED(mu_);

  const RepositoryDeps deps_;
  const ModelFolder* const folder_;
  const std::chrono::seconds idle_after_;  // zero: never

  LeavingModels leaving_;
  int64_t loaded_bytes_ = 0;  // of bundles whose models take calls
  bool serving_ = false;      // whether the first load is over
  bool moved_ = false;        // whether a look changes anything
  bool lacked_ = false;       // whether a version could not be loaded for what may pass

  mutable absl::Mutex mu_;
  std::string loading_ ABSL_GUARDED_BY(mu_);
};

}  // namespace pixpool
