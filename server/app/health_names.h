// What gRPC's health says of the server, its services and each model.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/pipeline/model_registry.h"

namespace pixpool {

// What says, beside them, whether a restart would help; the name of no model.
inline constexpr char kLivenessName[] = "/livez";

// Thread-safe.
class HealthNames {
 public:
  // `set` says a name's state to gRPC. Whoever watches a name gets a message for each call of it:
  // it is called for changes only, one at a time.
  HealthNames(const ModelRegistry* registry,
              std::function<void(const std::string& name, bool serving)> set)
      : registry_(registry), set_(std::move(set)) {}

  // The server and its services serve or do not; so do the models that are ready.
  void TellAll(bool well);
  // A model serves if one of its versions is ready, its default is there, and all is `well`; one
  // that is there no more does not. `well` is asked with a lock held, so that of two calls the
  // later answer is told last.
  void TellModels(const std::function<bool()>& well);
  // From here on nothing is told.
  void Close();

 private:
  void Tell(const std::string& name, bool serving) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Models(bool well) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const ModelRegistry* const registry_;
  const std::function<void(const std::string&, bool)> set_;
  absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::map<std::string, bool> told_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, bool> models_ ABSL_GUARDED_BY(mu_);  // that there are or were
};

}  // namespace pixpool
