#include "server/repository/model_repository.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_join.h"
#include "server/base/error.h"
#include "server/base/log.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/pipeline/options.h"
#include "server/repository/errors.h"

namespace pixpool {
namespace {

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

}  // namespace

ModelRepository::ModelRepository(const RepositoryOptions& options, RepositoryDeps deps)
    : options_(options),
      deps_(std::move(deps)),
      folder_(options.models_dir),
      loader_(options, deps_, &folder_) {
  if (auto policy = ParseVersionPolicy(options_.versions.value()); policy.ok()) {
    policy_ = *std::move(policy);
  }
}

absl::Status ModelRepository::Start() {
  const absl::StatusOr<ModelFolder::Found> looked = folder_.Find();
  std::error_code error;
  const bool unreadable = !looked.ok() && std::filesystem::is_directory(folder_.dir(), error);
  if (unreadable) return looked.status();
  if (!looked.ok()) return NoModelIn(options_);
  const ModelFolder::Found& found = *looked;
  if (found.models.empty()) return MayWait() ? absl::OkStatus() : NoModelIn(options_);
  PIXPOOL_RETURN_IF_ERROR(CheckDefault(found));
  for (const auto& [name, locations] : found.models) {
    Named& named = models_[name];
    const auto settings = folder_.Settings(name);
    if (!settings.ok()) continue;  // LoadFirst tells of it
    named.settings = *settings;
    loader_.EnterNew(&named.versions, WantedOf(name, named, locations).versions);
    SetRoutes(name, &named);
  }
  return absl::OkStatus();
}

absl::Status ModelRepository::CheckDefault(const ModelFolder::Found& found) const {
  const std::string& name = deps_.registry->default_model();
  if (name.empty() || found.models.contains(name) || found.refused.contains(name)) {
    return absl::OkStatus();
  }
  const auto put_name = [](std::string* out, const auto& model) { *out += model.first; };
  const std::string message =
      Concat(RegistryOptions::kDefaultModel.flag, " ", name, ": there is no such model in ",
             folder_.dir(), ", so calls that name none are refused; there are: ",
             absl::StrJoin(found.models, ", ", put_name));
  if (options_.strict) return absl::NotFoundError(message);
  Log(LogLevel::kWarning, "default_model_missing", {{"model", name}, {"message", message}});
  return absl::OkStatus();
}

absl::Status ModelRepository::LoadFirst() {
  const absl::Status first_failure = Look(/*again=*/true);
  const auto ready = [](const ModelEntry& e) { return TakesCalls(e.state); };
  const std::vector<ModelEntry> all = deps_.registry->List();
  const bool none = std::none_of(all.begin(), all.end(), ready);
  const bool too_little = none && !MayWait();
  const bool may_fail = !options_.strict || (models_.empty() && MayWait());
  if (!may_fail || too_little) PIXPOOL_RETURN_IF_ERROR(first_failure);
  if (too_little && !closed_) return NoModelIn(options_);
  return loader_.BeginServing();
}

absl::Status ModelRepository::Look(bool again, const std::set<std::string>* only) {
  const auto left_out = [only](const std::string& name) {
    return only != nullptr && !only->contains(name);
  };
  const LoadReach reach = again ? LoadReach::kRefused : LoadReach::kNew;
  complaints_.BeginLook(/*anew=*/again);
  const absl::StatusOr<ModelFolder::Found> found = folder_.Find();
  if (!found.ok() || found->models.empty()) {
    const std::string why = TextOf(found.ok() ? NoModelIn(options_) : found.status());
    return Complain("models_not_found", "", Concat(why, "; what serves serves on"));
  }
  absl::Status first_failure;
  for (const auto& [name, why] : found->refused) {
    if (left_out(name)) continue;
    first_failure.Update(Complain("model_folder_unreadable", name, why));
  }
  for (const auto& [name, locations] : found->models) {
    if (left_out(name) || unloaded(name)) continue;
    first_failure.Update(Apply(name, locations, reach));
  }
  for (auto it = models_.begin(); it != models_.end();) {
    auto& [name, named] = *it;
    const bool there = found->models.contains(name) || found->refused.contains(name);
    if (closed_ || there || left_out(name)) {
      ++it;
      continue;
    }
    for (auto& [number, version] : named.versions) loader_.Retire(&version);
    it = models_.erase(it);
  }
  loader_.EndMoves();
  complaints_.EndLook(only);
  return first_failure;
}

absl::Status ModelRepository::LoadModel(const std::string& name,
                                        const std::optional<VersionPolicy>& policy) {
  const auto failed = [&](const absl::Status& why) {
    return MakeError(ErrorReason::kModelNotLoaded,
                     folder_.WithoutPaths(ToStd(why.message()), name));
  };
  const absl::StatusOr<ModelFolder::Found> found = folder_.Find();
  if (!found.ok()) return failed(found.status());
  if (const auto refused = found->refused.find(name); refused != found->refused.end()) {
    return failed(absl::NotFoundError(refused->second));
  }
  const auto locations = found->models.find(name);
  if (locations == found->models.end()) return UnknownModel(name);
  Named& named = models_[name];
  const std::optional<VersionPolicy> before = std::exchange(named.ordered, policy);
  const absl::Status applied = Apply(name, locations->second, LoadReach::kIdle);
  if (!applied.ok()) named.ordered = before;
  const bool none = std::none_of(named.versions.begin(), named.versions.end(),
                                 [](const auto& version) { return version.second.serves(); });
  if (!applied.ok() && unloaded(name) && none) {
    RetireModel(name);  // as before the order
  } else {
    ForgetUnloaded(name);
  }
  loader_.EndMoves();
  return applied.ok() || absl::IsUnavailable(applied) ? applied : failed(applied);
}

absl::Status ModelRepository::UnloadModel(const std::string& name) {
  const auto found = models_.find(name);
  if (found == models_.end()) return unloaded(name) ? absl::OkStatus() : UnknownModel(name);
  std::vector<BundleLocation> versions;
  for (const auto& [number, version] : found->second.versions) versions.push_back(version.at);
  if (versions.empty()) versions.push_back({.name = name, .version = "", .dir = ""});
  RetireModel(name);
  {
    absl::MutexLock lock(&mu_);
    unloaded_.insert(unloaded_.end(), versions.begin(), versions.end());
  }
  loader_.EndMoves();
  return absl::OkStatus();
}

void ModelRepository::LogWhatServes() const {
  int ready = 0;
  int idle = 0;
  int not_ready = 0;
  for (const ModelEntry& entry : deps_.registry->List()) {
    ++(TakesCalls(entry.state) && entry.message.empty() ? ready : not_ready);
    if (entry.state == ModelState::kIdle) ++idle;
  }
  Log(LogLevel::kInfo, "models_looked_at",
      {{"ready", ready}, {"idle", idle}, {"refused", not_ready}, {"leaving", loader_.leaving()}});
}

absl::Status ModelRepository::Apply(const std::string& name, const Locations& found,
                                    LoadReach reach) {
  if (closed_) return LoadsNoMore();
  Named& named = models_[name];
  const auto settings = folder_.Settings(name);
  if (!settings.ok()) return RefuseSettings(name, &named, found, settings.status());
  named.settings = *settings;
  const WantedVersions wanted = WantedOf(name, named, found);
  loader_.EnterNew(&named.versions, wanted.versions);
  SetRoutes(name, &named);
  absl::Status status = wanted.status;
  if (!status.ok()) Complain("model_version_missing", name, TextOf(status)).IgnoreError();
  bool replaced = wanted.policy_met;  // all that takes the place of what serves, does
  for (const BundleLocation& at : wanted.versions) {
    if (closed_) return LoadsNoMore();
    const absl::Status loaded = loader_.Load(&named.versions, at, reach);
    if (!loaded.ok()) replaced = false;
    status.Update(loaded);
  }
  SetRoutes(name, &named);
  std::set<std::string> routed = {named.routes.default_version};
  for (const auto& [alias, version] : named.routes.aliases) routed.insert(version);
  std::set<std::string> stay;
  for (const BundleLocation& at : wanted.versions) stay.insert(at.version);
  for (auto it = named.versions.begin(); it != named.versions.end();) {
    auto& [number, version] = *it;
    const bool needed = version.serves() && (!replaced || routed.contains(number));
    if (needed || stay.contains(number)) {
      ++it;
    } else {
      loader_.Retire(&version);
      it = named.versions.erase(it);
    }
  }
  TellDefault(name, &named);
  return status;
}

absl::Status ModelRepository::RefuseSettings(const std::string& name, Named* named,
                                             const Locations& found, const absl::Status& why) {
  for (const BundleLocation& at : found) {
    ModelVersion& version = named->versions[at.version];
    version.at = at;
    version.refused = kVersionSettingsFile;
    if (!version.serves()) {
      deps_.metrics->SetModel(name, at.version, "", "", "", /*ready=*/false, 0);
    }
    deps_.registry->SetFailed(name, at.version, folder_.WithoutPaths(ToStd(why.message()), name));
  }
  return Complain("model_settings_refused", name, TextOf(why));
}

WantedVersions ModelRepository::WantedOf(const std::string& name, const Named& named,
                                         const Locations& found) const {
  const VersionSettings& settings = named.settings;
  const VersionPolicy& own = settings.has_policy ? settings.policy : policy_;
  return ChooseWanted(name, settings, named.ordered ? *named.ordered : own, found);
}

void ModelRepository::LoadIdle(const ModelKey& key) {
  const auto found = models_.find(key.name);
  if (closed_ || found == models_.end()) return;
  Named& named = found->second;
  const auto version = named.versions.find(key.version);
  if (version == named.versions.end() || !version->second.idle) return;
  // It is in the log and the registry.
  loader_.Load(&named.versions, version->second.at, LoadReach::kIdle).IgnoreError();
  SetRoutes(key.name, &named);
  loader_.EndMoves();
}

void ModelRepository::TendIdle() {
  for (auto& [name, named] : models_) {
    for (auto& [number, version] : named.versions) {
      if (closed_) return;
      loader_.UnloadIfIdle(&version);
      if (!loader_.IsDue(version)) continue;
      loader_.Load(&named.versions, version.at, LoadReach::kRefused).IgnoreError();
      SetRoutes(name, &named);
    }
  }
  loader_.EndMoves();
}

void ModelRepository::SetRoutes(const std::string& name, Named* named) {
  std::set<std::string> ready;
  for (const auto& [number, version] : named->versions) {
    if (version.serves()) ready.insert(number);
  }
  named->routes = ChooseRoutes(named->settings, named->routes, ready);
  deps_.registry->SetRoutes(name, named->routes);
}

void ModelRepository::TellDefault(const std::string& name, Named* named) {
  const auto entry = deps_.registry->Find(name, "");
  if (!entry.ok() || !TakesCalls(entry->state)) return;
  if (std::exchange(named->default_version, entry->version) == entry->version) return;
  Log(LogLevel::kInfo, "model_default", {{"model", name}, {"version", entry->version}});
}

void ModelRepository::RetireModel(const std::string& name) {
  const auto found = models_.find(name);
  for (auto& [number, version] : found->second.versions) loader_.Retire(&version);
  models_.erase(found);
}

absl::Status ModelRepository::Complain(const std::string& event, const std::string& model,
                                       const std::string& message) {
  if (complaints_.IsNew(event, model, message)) {
    Log(LogLevel::kWarning, event, {{"model", model}, {"message", message}});
  }
  return absl::FailedPreconditionError(message);
}

bool ModelRepository::unloaded(const std::string& name) const {
  const std::vector<BundleLocation> all = Unloaded();
  return std::any_of(all.begin(), all.end(),
                     [&](const BundleLocation& at) { return at.name == name; });
}

void ModelRepository::ForgetUnloaded(const std::string& name) {
  absl::MutexLock lock(&mu_);
  std::erase_if(unloaded_, [&](const BundleLocation& at) { return at.name == name; });
}

std::vector<BundleLocation> ModelRepository::Unloaded() const {
  absl::MutexLock lock(&mu_);
  return unloaded_;
}

}  // namespace pixpool
