#include "server/repository/wanted_versions.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "server/base/text.h"

namespace pixpool {

WantedVersions ChooseWanted(const std::string& name, const VersionSettings& settings,
                            const VersionPolicy& policy, const std::vector<BundleLocation>& found) {
  std::vector<std::string> there;
  for (const BundleLocation& at : found) there.push_back(at.version);
  const std::vector<std::string> chosen = ChooseVersions(policy, there);
  std::set<std::string> wanted(chosen.begin(), chosen.end());
  std::set<std::string> asked(policy.named.begin(), policy.named.end());
  if (!settings.default_version.empty()) asked.insert(settings.DefaultVersion());
  for (const auto& [alias, version] : settings.aliases) asked.insert(version);
  wanted.insert(asked.begin(), asked.end());
  WantedVersions result;
  for (const BundleLocation& at : found) {
    asked.erase(at.version);
    if (wanted.contains(at.version)) result.versions.push_back(at);
  }
  if (asked.empty()) return result;
  result.policy_met =
      std::none_of(policy.named.begin(), policy.named.end(),
                   [&asked](const std::string& version) { return asked.contains(version); });
  result.status = absl::FailedPreconditionError(
      Concat("of model ", name,
             " versions are to serve that are not there: ", absl::StrJoin(asked, ", ")));
  return result;
}

ModelRoutes ChooseRoutes(const VersionSettings& settings, const ModelRoutes& before,
                         const std::set<std::string>& ready) {
  const auto settled = [&ready](const std::string& wanted, const std::string& was) {
    return ready.contains(wanted) || !ready.contains(was) ? wanted : was;
  };
  ModelRoutes routes;
  const std::string wanted = settings.DefaultVersion();
  // Else the highest that is ready serves on.
  const bool known = ready.contains(wanted) || ready.empty() || !before.default_version.empty();
  if (!wanted.empty() && known) routes.default_version = settled(wanted, before.default_version);
  for (const auto& [alias, version] : settings.aliases) {
    const auto was = before.aliases.find(alias);
    routes.aliases[alias] = was == before.aliases.end() ? version : settled(version, was->second);
  }
  return routes;
}

}  // namespace pixpool
