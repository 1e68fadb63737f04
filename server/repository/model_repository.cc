#include "server/repository/model_repository.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "server/base/error.h"
#include "server/base/guarded.h"
#include "server/base/log.h"
#include "server/base/memory.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

absl::Status UnknownModel(const std::string& name) {
  ErrorDetails details;
  details.reason = ErrorReason::kModelNotFound;
  details.field = "model_name";
  details.metadata = {{"model", name}};
  return MakeError(details,
                   Concat("there is no model \"", absl::Utf8SafeCHexEscape(name),
                          "\" in the server's folder; RepositoryIndex names those there are"));
}

}  // namespace

ModelRepository::ModelRepository(const RepositoryOptions& options, RepositoryDeps deps)
    : options_(options), deps_(std::move(deps)), folder_(options.models_dir) {
  if (auto policy = ParseVersionPolicy(options_.versions.value()); policy.ok()) {
    policy_ = *std::move(policy);
  }
}

absl::Status ModelRepository::NoModel() const {
  const std::string& dir = options_.models_dir;
  return absl::NotFoundError(Concat("no model in ", dir, " (", options_.models_dir.flag(),
                                    "): make one with `python -m pixpool.export ",
                                    "efficientnet-lite0 --out ", dir, "`"));
}

absl::Status ModelRepository::Start() {
  PIXPOOL_ASSIGN_OR_RETURN(const ModelFolder::Found found, folder_.Find());
  if (found.models.empty()) return MayWait() ? absl::OkStatus() : NoModel();
  for (const auto& [name, locations] : found.models) {
    Named& named = models_[name];
    const auto settings = folder_.Settings(name);
    if (!settings.ok()) continue;  // LoadFirst tells of it
    named.settings = *settings;
    for (const BundleLocation& at : WantedOf(name, named, locations).versions) {
      named.versions[at.version].at = at;
      deps_.registry->AddLoading(name, at.version);
      deps_.metrics->SetModel(name, at.version, "", "", "", /*ready=*/false, 0);
    }
    SetRoutes(name, &named);
  }
  return absl::OkStatus();
}

absl::Status ModelRepository::LoadFirst() {
  const absl::Status first_failure = Look(/*again=*/true);
  const auto ready = [](const ModelEntry& e) { return e.state == ModelState::kReady; };
  const std::vector<ModelEntry> all = deps_.registry->List();
  const bool none = std::none_of(all.begin(), all.end(), ready);
  const bool too_little = none && !MayWait();
  if (options_.strict || too_little) PIXPOOL_RETURN_IF_ERROR(first_failure);
  if (too_little && !closed_) return NoModel();
  serving_ = true;
  return deps_.share_memory(LoadedBytes());
}

std::string ModelRepository::loading() const {
  absl::MutexLock lock(&mu_);
  return loading_;
}

absl::Status ModelRepository::Look(bool again) {
  if (again) complaints_.clear();
  const absl::StatusOr<ModelFolder::Found> found = folder_.Find();
  if (!found.ok() || found->models.empty()) {
    const std::string why =
        found.ok() ? Concat("no model in ", folder_.dir()) : TextOf(found.status());
    return Complain("models_not_found", "", Concat(why, "; what serves serves on"));
  }
  absl::Status first_failure;
  for (const auto& [name, why] : found->refused) {
    first_failure.Update(Complain("model_folder_unreadable", name, why));
  }
  for (const auto& [name, locations] : found->models) {
    if (!unloaded(name)) first_failure.Update(Apply(name, locations, again));
  }
  for (auto it = models_.begin(); it != models_.end();) {
    auto& [name, named] = *it;
    if (closed_ || found->models.contains(name) || found->refused.contains(name)) {
      ++it;
      continue;
    }
    for (auto& [number, version] : named.versions) Retire(&version);
    it = models_.erase(it);
  }
  EndMoves();
  return first_failure;
}

void ModelRepository::EndMoves() {
  if (!std::exchange(moved_, false)) return;
  ReturnFreeMemory();  // what loading needed and serving does not
  if (serving_) deps_.share_memory(LoadedBytes()).IgnoreError();  // it logs what it comes to
  deps_.changed();
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
  {
    absl::MutexLock lock(&mu_);
    std::erase_if(unloaded_, [&](const BundleLocation& at) { return at.name == name; });
  }
  Named& named = models_[name];
  const std::optional<VersionPolicy> before = std::exchange(named.ordered, policy);
  const absl::Status applied = Apply(name, locations->second, /*again=*/true);
  EndMoves();
  if (applied.ok()) return applied;
  named.ordered = before;
  return failed(applied);
}

absl::Status ModelRepository::UnloadModel(const std::string& name) {
  const auto found = models_.find(name);
  if (found == models_.end()) return unloaded(name) ? absl::OkStatus() : UnknownModel(name);
  for (auto& [number, version] : found->second.versions) {
    Retire(&version);
    absl::MutexLock lock(&mu_);
    unloaded_.push_back(version.at);
  }
  models_.erase(found);
  EndMoves();
  return absl::OkStatus();
}

void ModelRepository::LogWhatServes() const {
  int ready = 0;
  int not_ready = 0;
  for (const ModelEntry& entry : deps_.registry->List()) {
    ++(entry.state == ModelState::kReady && entry.message.empty() ? ready : not_ready);
  }
  Log(LogLevel::kInfo, "models_looked_at",
      {{"ready", ready}, {"refused", not_ready}, {"leaving", leaving_.count()}});
}

absl::Status ModelRepository::Apply(const std::string& name, const Locations& found, bool again) {
  Named& named = models_[name];
  const auto settings = folder_.Settings(name);
  if (!settings.ok()) return RefuseSettings(name, &named, found, settings.status());
  named.settings = *settings;
  const Wanted wanted = WantedOf(name, named, found);
  SetRoutes(name, &named);
  absl::Status status = wanted.status;
  if (!status.ok()) Complain("model_version_missing", name, TextOf(status)).IgnoreError();
  for (const BundleLocation& at : wanted.versions) {
    if (closed_) return status;
    status.Update(Load(&named, at, again));
  }
  SetRoutes(name, &named);
  std::set<std::string> stay;
  for (const BundleLocation& at : wanted.versions) stay.insert(at.version);
  for (auto it = named.versions.begin(); it != named.versions.end();) {
    auto& [number, version] = *it;
    // Until what is to take its place serves.
    const bool needed = version.model != nullptr && !status.ok();
    if (needed || stay.contains(number)) {
      ++it;
    } else {
      Retire(&version);
      it = named.versions.erase(it);
    }
  }
  TellDefault(name, &named);
  return status;
}

absl::Status ModelRepository::RefuseSettings(const std::string& name, Named* named,
                                             const Locations& found, const absl::Status& why) {
  for (const BundleLocation& at : found) {
    Version& version = named->versions[at.version];
    version.at = at;
    version.refused = kVersionSettingsFile;
    if (version.model == nullptr) {
      deps_.metrics->SetModel(name, at.version, "", "", "", /*ready=*/false, 0);
    }
    deps_.registry->SetFailed(name, at.version, folder_.WithoutPaths(ToStd(why.message()), name));
  }
  return Complain("model_settings_refused", name, TextOf(why));
}

ModelRepository::Wanted ModelRepository::WantedOf(const std::string& name, const Named& named,
                                                  const Locations& found) const {
  const VersionSettings& settings = named.settings;
  std::vector<std::string> there;
  for (const BundleLocation& at : found) there.push_back(at.version);
  const VersionPolicy& policy = named.ordered         ? *named.ordered
                                : settings.has_policy ? settings.policy
                                                      : policy_;
  const std::vector<std::string> chosen = ChooseVersions(policy, there);
  std::set<std::string> wanted(chosen.begin(), chosen.end());
  std::set<std::string> asked(policy.named.begin(), policy.named.end());
  if (!settings.default_version.empty()) asked.insert(settings.DefaultVersion());
  for (const auto& [alias, version] : settings.aliases) asked.insert(version);
  wanted.insert(asked.begin(), asked.end());
  Wanted result;
  for (const BundleLocation& at : found) {
    asked.erase(at.version);
    if (wanted.contains(at.version)) result.versions.push_back(at);
  }
  if (!asked.empty()) {
    result.status = absl::FailedPreconditionError(
        Concat("of model ", name,
               " versions are to serve that are not there: ", absl::StrJoin(asked, ", ")));
  }
  return result;
}

absl::Status ModelRepository::Load(Named* named, const BundleLocation& at, bool again) {
  Version& version = named->versions[at.version];
  version.at = at;
  const std::string content = ContentOf(at.dir);
  if (version.model != nullptr && version.content == content) {
    // As before something else that could not be loaded.
    if (!version.refused.empty()) deps_.registry->SetFailed(at.name, at.version, "");
    version.refused.clear();
    return absl::OkStatus();
  }
  const BundleFiles files = LookAtFiles(at.dir);
  if (!again && version.refused == files.stamp) return version.failure;
  moved_ = true;
  SetLoading(Concat(at.name, " ", at.version));
  const absl::Cleanup loaded = [this] { SetLoading(""); };
  deps_.registry->AddLoading(at.name, at.version);
  if (version.model == nullptr) {
    deps_.metrics->SetModel(at.name, at.version, "", "", "", /*ready=*/false, 0);
  }
  const TimePoint start = deps_.clock->Now();
  std::shared_ptr<Model> model;
  const absl::Status status = Guarded("load_failed", "the model could not be loaded", [&] {
    // Room for it beside all that is there, before it is taken.
    if (serving_) PIXPOOL_RETURN_IF_ERROR(deps_.share_memory(LoadedBytes() + files.bytes));
    PIXPOOL_ASSIGN_OR_RETURN(model, deps_.load(at, AnotherOf(*named)));
    return absl::OkStatus();
  });
  deps_.metrics->ModelLoaded(status.ok());
  if (!status.ok()) {
    version.refused = files.stamp;
    version.failure = Refuse(version, status);
    return version.failure;
  }
  Version before = std::exchange(
      version, {.at = at, .content = content, .model = std::move(model), .bytes = files.bytes});
  const ModelInfo& info = version.model->info();
  const double seconds = ToSeconds(deps_.clock->Now() - start);
  deps_.metrics->SetModel(at.name, at.version, info.engine, info.device, info.precision, true,
                          seconds);
  Log(LogLevel::kInfo, "model_ready",
      {{"model", at.name},
       {"version", at.version},
       {"engine", info.engine},
       {"device", info.device},
       {"instances", version.model->instance_count()},
       {"seconds", seconds}});
  version.use = deps_.registry->SetReady(at.name, at.version, version.model);
  if (before.model != nullptr) Leave(&before);
  deps_.changed();
  return absl::OkStatus();
}

absl::Status ModelRepository::Refuse(const Version& version, const absl::Status& why) {
  const BundleLocation& at = version.at;
  std::vector<LogField> fields = {
      {"model", at.name}, {"version", at.version}, {"message", TextOf(why)}};
  if (version.model != nullptr) fields.emplace_back("serves", "what was loaded before");
  Log(LogLevel::kError, "model_failed", fields);
  deps_.registry->SetFailed(at.name, at.version,
                            folder_.WithoutPaths(ToStd(why.message()), at.name));
  return absl::FailedPreconditionError(
      Concat("model ", at.name, " version ", at.version, ": ", why.message()));
}

void ModelRepository::SetRoutes(const std::string& name, Named* named) {
  const auto ready = [named](const std::string& number) {
    const auto found = named->versions.find(number);
    return found != named->versions.end() && found->second.model != nullptr;
  };
  // Where the new one does not serve, the one before goes on.
  const auto settled = [&](const std::string& wanted, const std::string& before) {
    return ready(wanted) || !ready(before) ? wanted : before;
  };
  ModelRoutes routes;
  const std::string wanted = named->settings.DefaultVersion();
  if (!wanted.empty() && (ready(wanted) || !serving_ || !named->routes.default_version.empty())) {
    routes.default_version = settled(wanted, named->routes.default_version);
  }
  for (const auto& [alias, version] : named->settings.aliases) {
    const auto before = named->routes.aliases.find(alias);
    routes.aliases[alias] =
        before == named->routes.aliases.end() ? version : settled(version, before->second);
  }
  named->routes = routes;
  deps_.registry->SetRoutes(name, routes);
}

void ModelRepository::TellDefault(const std::string& name, Named* named) {
  const auto entry = deps_.registry->Find(name, "");
  if (!entry.ok() || entry->state != ModelState::kReady) return;
  if (std::exchange(named->default_version, entry->version) == entry->version) return;
  Log(LogLevel::kInfo, "model_default", {{"model", name}, {"version", entry->version}});
}

void ModelRepository::Retire(Version* version) {
  const BundleLocation& at = version->at;
  moved_ = true;
  deps_.registry->Remove(at.name, at.version);
  deps_.metrics->DropModel(at.name, at.version);
  if (version->model == nullptr) return;
  Log(LogLevel::kInfo, "model_leaving", {{"model", at.name}, {"version", at.version}});
  Leave(version);
}

void ModelRepository::Leave(Version* version) {
  leaving_.Add({.at = version->at,
                .model = std::move(version->model),
                .use = version->use,
                .bytes = version->bytes,
                .since = deps_.clock->Now()});
}

void ModelRepository::FreeWhatIsLeft() {
  const bool freed = leaving_.Free(deps_.forget, deps_.clock->Now());
  deps_.metrics->SetModelsLeaving(leaving_.count());
  if (!freed) return;
  ReturnFreeMemory();
  deps_.share_memory(LoadedBytes()).IgnoreError();  // it logs what it comes to
}

int64_t ModelRepository::LoadedBytes() const {
  int64_t bytes = leaving_.bytes();
  for (const auto& [name, named] : models_) {
    for (const auto& [number, version] : named.versions) bytes += version.bytes;
  }
  return bytes;
}

const Model* ModelRepository::AnotherOf(const Named& named) const {
  for (const auto& [number, version] : named.versions) {
    if (version.model != nullptr) return version.model.get();
  }
  return nullptr;
}

void ModelRepository::SetLoading(std::string what) {
  absl::MutexLock lock(&mu_);
  loading_ = std::move(what);
}

absl::Status ModelRepository::Complain(std::string_view event, const std::string& key,
                                       const std::string& message) {
  if (std::exchange(complaints_[Concat(event, " ", key)], message) != message) {
    Log(LogLevel::kWarning, event, {{"model", key}, {"message", message}});
  }
  return absl::FailedPreconditionError(message);
}

bool ModelRepository::unloaded(const std::string& name) const {
  const std::vector<BundleLocation> all = Unloaded();
  return std::any_of(all.begin(), all.end(),
                     [&](const BundleLocation& at) { return at.name == name; });
}

std::vector<BundleLocation> ModelRepository::Unloaded() const {
  absl::MutexLock lock(&mu_);
  return unloaded_;
}

}  // namespace pixpool
