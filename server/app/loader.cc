#include "server/app/loader.h"

#include <utility>
#include <vector>

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/config/process_options.h"

namespace pixpool {
namespace {

absl::StatusOr<std::unique_ptr<Model>> LoadOne(const BundleLocation& location,
                                               const ModelOptions& options,
                                               const Machine& machine) {
  PIXPOOL_ASSIGN_OR_RETURN(Bundle bundle, OpenBundle(location.dir));
  return LoadModel(bundle, options, machine);
}

}  // namespace

absl::Status RegisterBundles(const std::string& models_dir, ModelRegistry* registry) {
  PIXPOOL_ASSIGN_OR_RETURN(std::vector<BundleLocation> locations, FindBundles(models_dir));
  if (locations.empty()) {
    return absl::NotFoundError(
        Concat("no model in ", models_dir, " (", ProcessOptions::kModelsDir.flag,
               "): make one with `python -m pixpool.export efficientnet-lite0 "
               "--out ",
               models_dir, "`"));
  }
  for (const BundleLocation& l : locations) registry->AddLoading(l.name, l.version);
  return absl::OkStatus();
}

absl::Status LoadBundles(const std::string& models_dir, const ModelOptions& options,
                         const Machine& machine, ModelRegistry* registry, Metrics* metrics,
                         const std::function<void(const std::string& name)>& ready) {
  PIXPOOL_ASSIGN_OR_RETURN(std::vector<BundleLocation> locations, FindBundles(models_dir));
  for (const BundleLocation& l : locations) {
    metrics->SetModel(l.name, l.version, "", "", "", /*ready=*/false, 0);
  }
  absl::Status first_failure;
  for (const BundleLocation& location : locations) {
    const TimePoint start = Clock::Real()->Now();
    auto model = LoadOne(location, options, machine);
    const double seconds = ToSeconds(Clock::Real()->Now() - start);
    if (!model.ok()) {
      Log(LogLevel::kError, "model_failed",
          {{"model", location.name},
           {"version", location.version},
           {"message", ToStd(model.status().message())}});
      // Clients see this one: no paths.
      registry->SetFailed(location.name, location.version,
                          "the model could not be loaded; the server's log says why");
      if (first_failure.ok()) {
        first_failure =
            absl::FailedPreconditionError(Concat("model ", location.name, " version ",
                                                 location.version, ": ", model.status().message()));
      }
      continue;
    }
    const ModelInfo& info = (*model)->info();
    metrics->SetModel(info.name, info.version, info.engine, info.device, info.precision, true,
                      seconds);
    Log(LogLevel::kInfo, "model_ready",
        {{"model", info.name},
         {"version", info.version},
         {"engine", info.engine},
         {"device", info.device},
         {"instances", (*model)->instance_count()},
         {"seconds", seconds}});
    registry->SetReady(location.name, location.version, *std::move(model));
    ready(location.name);
  }
  ReturnFreeMemory();  // what loading needed and serving does not
  return first_failure;
}

}  // namespace pixpool
