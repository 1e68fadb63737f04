// Who may have models loaded and unloaded, and when it is looked for new ones.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/base/settling.h"
#include "server/pipeline/cold_calls.h"
#include "server/repository/model_repository.h"

namespace pixpool {

// The orders that a ModelRepository gets: from a signal, from calls (--model-control explicit),
// from its own looks at the folder (--model-control poll), and from calls that need a model which
// is idle. They are carried out one after the other by Work.
//
// Thread-safe, and never blocks but in Work, which one thread calls every tenth of a second. What
// it is given must outlive it.
class ModelControl {
 public:
  // Called once, on any thread. Errors: MODEL_CONTROL_OFF, MODEL_NOT_FOUND, MODEL_NOT_LOADED with
  // the cause, OVERLOADED, DRAINING; CANCELLED where `call` was before the order was begun.
  using Done = std::function<void(const absl::Status&)>;

  // `cold_calls`: those that wait for a model that is idle.
  ModelControl(const RepositoryOptions& options, ModelRepository* repository, ColdCalls* cold_calls,
               const Clock* clock);
  ~ModelControl();

  // Has Work look at the folder.
  void LookAgain();

  // Loads what is to serve of a model; `policy`: in place of what its versions.json says, until the
  // next order for it.
  void Load(const std::string& name, const std::optional<VersionPolicy>& policy,
            std::shared_ptr<const CallContext> call, Done done);
  // Takes all its versions out of service. It stays so whoever looks, until it is loaded again.
  void Unload(const std::string& name, std::shared_ptr<const CallContext> call, Done done);

  // Carries out what was asked for, and frees what no call has any more.
  void Work();

  // What was taken out of service by Unload.
  std::vector<BundleLocation> Unloaded() const { return repository_->Unloaded(); }

  // No order is begun from here on; all that wait and the one under way are answered, and so are
  // the calls that wait for models.
  void Close();

 private:
  struct Order {
    std::function<absl::Status()> work;
    std::shared_ptr<const CallContext> call;
    Done done;
  };

  void Add(Order order);
  // Drops orders that were not begun and whose callers have gone.
  void DropCancelled() ABSL_LOCKS_EXCLUDED(mu_);
  void Answer(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void Poll();
  // Those whose files have come to rest with another state than the one in force; `stamps` is of
  // now.
  std::set<std::string> Settled(const ModelFolder::Stamps& stamps);
  void Look(bool again, const std::set<std::string>* only = nullptr);
  // What it throws goes to the log: it does not end the thread of the models.
  static void Try(const std::function<void()>& work);

  const RepositoryOptions options_;
  ModelRepository* const repository_;
  ColdCalls* const cold_calls_;
  const Clock* const clock_;

  // Of the thread that calls Work.
  TimePoint next_poll_{};
  ModelFolder::Stamps seen_;                           // that the models are in step with
  std::map<std::string, Settling<std::string>> news_;  // of each model
  Settling<std::string> trouble_;                      // of the folder itself

  absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  bool look_again_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Order> orders_ ABSL_GUARDED_BY(mu_);
  Done under_way_ ABSL_GUARDED_BY(mu_);  // null: none, or answered
};

}  // namespace pixpool
