// What a model's settings make of the versions that there are. Internal to server/repository.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/bundle/manifest.h"
#include "server/bundle/version_settings.h"
#include "server/pipeline/model_registry.h"

namespace pixpool {

struct WantedVersions {
  std::vector<BundleLocation> versions;  // that are to serve, the lowest first
  absl::Status status;                   // whether all that is asked for by name is there
  bool policy_met = true;                // whether all that the policy names is
};

// Those of `found` that the policy chooses, and those that are the default or have an alias.
WantedVersions ChooseWanted(const std::string& name, const VersionSettings& settings,
                            const VersionPolicy& policy, const std::vector<BundleLocation>& found);

// The routes that the settings ask for, as far as their versions are `ready`: where a new one does
// not serve, the one before goes on.
ModelRoutes ChooseRoutes(const VersionSettings& settings, const ModelRoutes& before,
                         const std::set<std::string>& ready);

}  // namespace pixpool
